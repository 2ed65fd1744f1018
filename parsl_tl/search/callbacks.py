"""Callbacks of a campaign: who is told of evaluations as they end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.search.candidate import arch_seq_of
from parsl_tl.search.kept_figures import kept_metrics
from parsl_tl.store.model_id import format_model_id
from parsl_tl.training.namespaces import JOB_KEYS

if TYPE_CHECKING:
    from parsl_tl.search.settings import CampaignSettings
    from parsl_tl.spaces import SearchSpace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchInfo:
    """The search that callbacks are told of.

    Attributes:
        folder: of the campaign.
        settings: of the campaign.
        space: what is searched; None where it cannot be loaded.
    """

    folder: Path
    settings: CampaignSettings
    space: SearchSpace | None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name or str(self.folder)


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that has ended.

    Attributes:
        job: its number in the search, from 0.
        model_id: 16 hex digits.
        parent: the model that it is a mutation of, or None.
        donor: the model that weights came from, or None.
        objective: larger is better; None for one that failed.
        failure: why it failed, in a word; None for one that succeeded.
        error: the message of the failure.
        choices: what was chosen, by name; indices where the space cannot be loaded.
        history: values of each metric, an entry for each epoch, None for what is not finite.
        metrics: the metrics of the epoch whose weights were kept.
        figures: everything else that the evaluation reported, by name.
        started_ns: in nanoseconds since 1970, by the worker's clock; None if nobody noted it.
        ended_ns: the same; where the worker told nothing, by the clock of the search.
    """

    job: int
    model_id: str
    parent: str | None
    donor: str | None
    objective: float | None
    failure: str | None
    error: str | None
    choices: Mapping[str, Any]
    history: Mapping[str, Sequence[float | None]]
    metrics: Mapping[str, float | None]
    figures: Mapping[str, Any]
    started_ns: int | None
    ended_ns: int | None


class SearchCallback:
    """Base of callbacks; its methods do nothing. They run in the search's own process.

    One that raises is told of and not called any more: the search goes on.
    """

    def on_search_begin(self, search: SearchInfo, earlier: Sequence[Evaluation]) -> None:
        """A search begins, or is carried on.

        Args:
            search: which one.
            earlier: what had ended before, in that order.
        """

    def on_evaluation_end(self, evaluation: Evaluation) -> None:
        """An evaluation has ended, whether it succeeded or failed. The search waits for this."""

    def on_search_end(self) -> None:
        """The search ends, for whatever reason; it may be carried on later."""


class SearchCallbacks:
    """The callbacks of a search; what they raise ends none of it."""

    def __init__(
        self,
        callbacks: Sequence[SearchCallback],
        search: SearchInfo,
        note: Callable[[str], object],
    ) -> None:
        """Calls nobody yet.

        Args:
            callbacks: who is told.
            search: of what.
            note: takes what the user should know.
        """
        self._callbacks = list(callbacks)
        self._search = search
        self._note = note
        self._has_begun = False

    def begin(self, rows: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        """Tells that the search begins.

        Args:
            rows: gives the finished rows of the journal; asked only if anybody is told.
        """
        self._has_begun = True
        if self._callbacks:
            earlier = [evaluation_of(row, self._search.space) for row in rows()]
            self._tell(lambda one: one.on_search_begin(self._search, earlier))

    def ended(self, row: Mapping[str, Any]) -> None:
        """Tells of a finished row of the journal."""
        if self._callbacks:
            evaluation = evaluation_of(row, self._search.space)
            self._tell(lambda one: one.on_evaluation_end(evaluation))

    def end(self) -> None:
        """Tells that the search ends, if it has begun."""
        if self._has_begun:
            self._tell(lambda one: one.on_search_end())

    def _tell(self, call: Callable[[SearchCallback], None]) -> None:
        for one in list(self._callbacks):
            try:
                call(one)
            except Exception as error:  # of a user's code, or of a tracker that is away
                self._callbacks.remove(one)
                name = type(one).__name__
                logger.warning("callback %s failed", name, exc_info=True)
                self._note(
                    f"Callback {name} failed and is told nothing more: "
                    f"{type(error).__name__}: {error}"
                )


def evaluation_of(row: Mapping[str, Any], space: SearchSpace | None) -> Evaluation:
    """Returns a finished row of a journal as callbacks are told of it.

    Args:
        row: of the journal.
        space: what is searched; None where it cannot be loaded.
    """
    config, objective = row["config"], row["objective"]
    metadata = dict(row["metadata"])
    history = metadata.pop("history", None) or {}
    for name in ("steps", "traceback"):
        metadata.pop(name, None)
    failed = isinstance(objective, str)
    return Evaluation(
        job=int(config["job"]),
        model_id=format_model_id(config["model_id"]),
        parent=_hex(config["parent"]),
        donor=_hex(metadata.pop("donor", None)),
        objective=None if failed else float(objective),
        failure=objective.removeprefix("F_") if failed else None,
        error=metadata.pop("error", None),
        choices=_choices(config, space),
        history=history,
        metrics=kept_metrics(row["metadata"]),
        figures={
            name: value for name, value in metadata.items() if name not in ("model_id", "parent")
        },
        started_ns=metadata.get("started_ns"),
        ended_ns=metadata.get("ended_ns") or row.get("time_ns"),
    )


def _choices(config: Mapping[str, Any], space: SearchSpace | None) -> dict[str, Any]:
    if space is None:
        own = config.get("choices")
        found = own if isinstance(own, Mapping) else config
        return {name: value for name, value in found.items() if name not in JOB_KEYS}
    names = [choice.name for choice in space.choices()]
    return dict(zip(names, space.labels(arch_seq_of(config, names)), strict=True))


def _hex(model_id: int | None) -> str | None:
    return None if model_id is None else format_model_id(model_id)
