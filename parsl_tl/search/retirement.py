"""Which models may go: those that left the population and are not among the best."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import Any, NamedTuple, Self

from parsl_tl.errors import ModelNotFoundError, ParslTLError
from parsl_tl.events import note
from parsl_tl.search.best_models import BestModels
from parsl_tl.search.kept_figures import kept_loss
from parsl_tl.search.model_storage import ModelStorage
from parsl_tl.search.pending_models import PendingModels
from parsl_tl.store import ModelStore, format_model_id
from parsl_tl.transfer import TransferMethod

logger = logging.getLogger(__name__)

# A search must not wait for a server that does not answer: after one try it has some rest. A store
# that answers takes milliseconds; the search goes on beside one that takes longer than this.
_FIRST_REST, _LONGEST_REST = 5.0, 60.0
_PATIENCE = 0.2


class _Round(NamedTuple):
    """What became of models that were to be retired together.

    Attributes:
        retired: ids.
        missing: ids of those that the store does not have.
        failures: why the others are still there, by id.
    """

    retired: list[int]
    missing: list[int]
    failures: dict[int, str]


class Retirement:
    """Retires models as they expire, and keeps the best ones for their user.

    A store that fails, or does not answer, ends no search and holds none up: what could not be
    retired is tried again later, and at the end. A context manager, for its connection.

    Attributes:
        pending: models that are finished and may not be in the store yet.
    """

    def __init__(self, storage: ModelStorage, keep_best: int) -> None:
        """Starts with nothing expired.

        Args:
            storage: where the models are.
            keep_best: best models that stay.
        """
        self.pending = PendingModels()
        self._storage = storage
        self._keep_best = keep_best
        self._place: ModelStore | TransferMethod | None = None
        self._best = BestModels(keep_best)
        self._present: dict[int, None] = {}  # what is not retired, in the order of finishing
        self._expired: set[int] = set()
        self._failures: dict[int, str] = {}
        self._rest = _FIRST_REST
        self._rests_until = 0.0
        self._round: Future[_Round] | None = None  # under way

    def restore(self, finished: Iterable[Mapping[str, Any]], population: Iterable[int]) -> None:
        """Takes over all results so far, and makes the store agree with them."""
        self._best = BestModels(self._keep_best)
        self._present = {}
        for row in finished:
            self._note(row)
        self._keep_only(population)

    def keep_newest(self, count: int) -> None:
        """Takes the models that finished last for the population, whatever the search was told."""
        self._keep_only(list(self._present)[-count:])

    def _keep_only(self, population: Iterable[int]) -> None:
        self._expired = set(self._present).difference(population)
        self._retire()

    def finished(self, row: Mapping[str, Any]) -> None:
        """Notes a result; a model that drops out of the best ones may go now."""
        self._note(row)
        self.pending.note(row)
        self._retire()

    def expire(self, model_id: int) -> None:
        """Notes that a model left the population."""
        self._expired.add(model_id)
        self._retire()

    def wait_for_pending(self, seconds: float) -> int:
        """Waits for models that are on their way; gives how many are missing all the same.

        Args:
            seconds: without one more that came, after which the others are given up.
        """
        self._settle()
        if not self.pending:
            return 0
        try:
            place = self._open()
            assert isinstance(place, ModelStore)  # nothing else stores in the background
            return self.pending.wait(place, seconds)
        except ParslTLError as error:
            logger.warning("cannot ask whether models are stored: %s", error)
            return len(self.pending)

    def finish(self) -> dict[int, str]:
        """Tries again, and for longer, what could not be retired; gives the rest, and why."""
        self._settle()
        self._rests_until = 0.0
        if self._failures:
            self.close()
            try:
                self._place = self._storage.open(quick=False)
            except ParslTLError as error:
                logger.warning("models cannot be retired: %s", error)
                return dict(self._failures)
        self._retire()
        self._settle()
        for model_id, reason in self._failures.items():
            logger.warning("model %s was not retired: %s", format_model_id(model_id), reason)
        self._release_orphans()
        return dict(self._failures)

    def close(self) -> None:
        """Closes the connection; it is opened anew when it is needed."""
        self._settle()
        place, self._place = self._place, None
        if place is not None:
            place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> ModelStore | TransferMethod:
        if self._place is None:
            self._place = self._storage.open(quick=True)
        elif self._failures:
            self._open_anew()
        return self._place

    def _open_anew(self) -> None:
        """Looks whether a server has come back elsewhere; the others serve while one is away."""
        try:
            place = self._storage.open(quick=True)
        except ParslTLError as error:
            logger.debug("the store is not whole: %s", error)
            return
        before, self._place = self._place, place
        if before is not None:
            before.close()

    def _note(self, row: Mapping[str, Any]) -> None:
        """Takes in a result, and its model if it has one."""
        if isinstance(row["objective"], str):
            return
        model_id = int(row["config"]["model_id"])
        self._best.add(model_id, float(row["objective"]), kept_loss(row["metadata"]))
        self._present[model_id] = None

    def _retire(self) -> None:
        """Begins a round of retiring what may go, unless one is under way or has just failed."""
        self._take_over()
        if self._round is not None or not self._expired or time.monotonic() < self._rests_until:
            return
        due = self._expired.difference(self._best)
        if not due:
            self._failures = {}
            return
        self._round = Future()
        if self._storage.is_remote:
            context, given = copy_context(), (self._run_round, self._round, due)
            threading.Thread(target=context.run, args=given, daemon=True).start()
            wait([self._round], _PATIENCE)
        else:
            self._run_round(self._round, due)
        self._take_over()

    def _run_round(self, round: Future[_Round], due: Iterable[int]) -> None:
        try:
            round.set_result(self._retire_all(due))
        except BaseException as error:  # whoever takes it over meets it
            round.set_exception(error)

    def _retire_all(self, due: Iterable[int]) -> _Round:
        found = _Round([], [], {})
        try:
            place = self._open()
        except ParslTLError as error:
            return found._replace(failures=dict.fromkeys(due, _describe(error)))
        for model_id in due:
            try:
                place.retire(model_id)
            except ModelNotFoundError:
                found.missing.append(model_id)
            except ParslTLError as error:
                found.failures[model_id] = _describe(error)
            else:
                found.retired.append(model_id)
                note("retired", model_id=format_model_id(model_id))
        return found

    def _settle(self) -> None:
        """Waits for the end of a round; a server that does not answer has its time limit."""
        if self._round is not None:
            wait([self._round])
            self._take_over()

    def _take_over(self) -> None:
        """Notes what became of a round that has ended."""
        if self._round is None or not self._round.done():
            return
        round, self._round = self._round, None
        found = round.result()
        for model_id in found.missing:
            # It goes when it has come; or it was retired before an interruption, or by another
            # user of the store.
            if model_id not in self.pending:
                logger.debug("model %s is not there", format_model_id(model_id))
                found.retired.append(model_id)
        for model_id in found.retired:
            self.pending.arrived(model_id)
            self._expired.discard(model_id)
            self._present.pop(model_id, None)
        self._failures = found.failures
        if not self._failures:
            self._rest = _FIRST_REST
            return
        reason = next(iter(self._failures.values()))
        logger.warning("to be retired later: %d models (%s)", len(self._failures), reason)
        self._rests_until = time.monotonic() + self._rest
        self._rest = min(2 * self._rest, _LONGEST_REST)

    def _release_orphans(self) -> None:
        """What workers that died, or servers that went away, left held in the store."""
        try:
            place = self._open()
            if isinstance(place, ModelStore):
                place.release_orphans()
        except ParslTLError as error:
            logger.warning("layers may be held for models that do not exist: %s", error)


def _describe(error: ParslTLError) -> str:
    return f"{type(error).__name__}: {error}"
