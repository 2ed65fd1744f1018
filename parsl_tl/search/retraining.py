"""Full trainings of a campaign's best models, from inherited weights and from scratch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from parsl_tl.errors import CampaignError, InvalidValueError
from parsl_tl.reporting.files import replace_file
from parsl_tl.search.best_candidates import BestCandidates
from parsl_tl.search.journal import read_whole_lines
from parsl_tl.suggestions import check_names
from parsl_tl.training.job import EvaluationJob
from parsl_tl.training.namespaces import TRAINING_KEYS
from parsl_tl.training.retrain import STARTS, retrain

if TYPE_CHECKING:
    import pandas as pd
    import parsl
    from parsl.dataflow.dflow import DataFlowKernel

_LOG: Final = "retrain.jsonl"


class Retraining:
    """The full trainings of a campaign's best models, kept in a folder.

    The folder holds ``retrain.jsonl``, a line for each training that has ended, which is how one
    that was interrupted is carried on.

    Args:
        campaign: folder of the campaign.
        out: folder of the results; ``retrain`` in the campaign's by default.
        top: how many models at most.
        epochs: of each training at most.
        starts: from ``parsl_tl.training.retrain.STARTS``.
        seeds: of each training; the first is the search's own order of rows.
        save: write each trained model as ``<model id>-<start>-<seed>.keras``, and what its inputs
            went through as ``preprocessing.json``, if that is anything.
        models: ids of the models to choose from, 16 hex digits each; None for all.
        training: options by names of ``TRAINING_KEYS`` that are others than the search's, such as
            ``{"batch_size": 256, "dtype_policy": "mixed_bfloat16"}``.

    Attributes:
        folder: of the results.
        seeds: as given.
        objective: what the search ranked by.
        rows: the trainings that have ended.

    Raises:
        CampaignError: there is no campaign, or other trainings are in the folder.
        InvalidValueError: an unknown start or option, or inherited weights of a campaign without a
            store.
    """

    def __init__(
        self,
        campaign: str | os.PathLike[str],
        out: str | os.PathLike[str] | None = None,
        *,
        top: int = 5,
        epochs: int = 50,
        starts: Sequence[str] = STARTS,
        seeds: Sequence[int] = (0,),
        save: bool = False,
        models: Collection[str] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> None:
        check_names(training or {}, TRAINING_KEYS, "training")
        unknown = [start for start in starts if start not in STARTS]
        if unknown or not starts:
            raise InvalidValueError(f"starts={list(starts)!r}: choose from {', '.join(STARTS)}")
        self._best = BestCandidates(campaign, top, models)
        self._refuse_chosen(training or {})
        if "inherited" in starts and not self._best.campaign.settings.has_store:
            raise InvalidValueError(
                "the campaign kept its models in no store, so that nothing can be inherited; "
                "train from scratch alone"
            )
        self.folder = Path(out) if out is not None else self._best.campaign.folder / "retrain"
        self.seeds = tuple(seeds)
        self.objective = self._best.objective
        self._epochs, self._starts, self._save = epochs, starts, save
        self._training = dict(training or {})
        self.rows = self._read()

    @property
    def total(self) -> int:
        """Number of trainings."""
        return len(self._best.candidates) * len(self._starts) * len(self.seeds)

    def run(
        self,
        config: str | os.PathLike[str] | parsl.Config | None = None,
        *,
        max_workers: int | None = None,
        kernel: DataFlowKernel | None = None,
        done: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ) -> pd.DataFrame:
        """Trains what is not trained yet, as Parsl tasks, and returns ``results``.

        Args:
            config: where to run, as ``Campaign`` takes it.
            max_workers: worker processes, for a configuration that is given by name.
            kernel: a Parsl kernel to run on in place of a configuration.
            done: is told each result as it comes.
        """
        finished = {_key(row) for row in self.rows if "error" not in row}
        self.rows = [row for row in self.rows if "error" not in row]
        calls, about = {}, {}
        for candidate in self._best.candidates:
            for start in self._starts:
                for seed in self.seeds:
                    key = (candidate.model_id, start, seed)
                    if key not in finished:
                        about[key] = candidate
                        calls[key] = self._call(candidate, start, seed)
        if calls:
            self.folder.mkdir(parents=True, exist_ok=True)
            preprocessing = self._best.campaign.problem.preprocessing() if self._save else None
            if preprocessing is not None:  # without which the models are of no use
                preprocessing.save(self.folder / "preprocessing.json")
            # Without trainings that failed, and without what a killed run has half written.
            text = "".join(json.dumps(row) + "\n" for row in self.rows)
            replace_file(self.folder / _LOG, lambda partial: partial.write_text(text))

            def keep(key: tuple[str, str, int], outcome: dict[str, Any]) -> None:
                row = self._row(about[key], key, outcome)
                self.rows.append(row)
                with open(self.folder / _LOG, "a") as log:
                    log.write(json.dumps(row) + "\n")
                done(row)

            run_dir = self.folder / "parsl"
            place: dict[str, Any] = {"max_workers": max_workers, "kernel": kernel}
            self._best.run(calls, keep, config, run_dir=run_dir, **place)
        return self.results

    @property
    def results(self) -> pd.DataFrame:
        """One row for each training: ``model_id``, ``start``, ``seed``, figures, ``test_...``."""
        import pandas as pd

        frame = pd.DataFrame.from_records(self.rows).drop(
            columns=["history", "training_asked"], errors="ignore"
        )
        order = [name for name in ("rank", "start", "seed") if name in frame]
        return frame.sort_values(order, kind="stable", ignore_index=True) if order else frame

    @property
    def curves(self) -> pd.DataFrame:
        """One row for each epoch: ``model_id``, ``start``, ``seed``, ``epoch``, all metrics."""
        import pandas as pd

        frames = [
            pd.DataFrame(row["history"]).assign(
                model_id=row["model_id"], start=row["start"], seed=row["seed"]
            )
            for row in self.rows
            if row.get("history")
        ]
        if not frames:
            return pd.DataFrame(columns=["model_id", "start", "seed", "epoch", "seconds"])
        frame = pd.concat([one.assign(epoch=np.arange(1, len(one) + 1)) for one in frames])
        first = ["model_id", "start", "seed", "epoch", "seconds"]
        return frame[[*first, *(name for name in frame if name not in first)]]

    def speedups(self) -> pd.DataFrame:
        """Compares how soon a value is reached from inherited weights and from scratch.

        Returns:
            One row for each model and seed that was trained from both: ``value`` (what both
            reach: the worse of the two bests), ``seconds_inherited``, ``seconds_scratch``,
            ``epochs_inherited`` and ``epochs_scratch`` until it was reached, ``times_faster``.
        """
        import pandas as pd

        objective = self.objective
        name, sign = objective.removeprefix("-"), -1 if objective.startswith("-") else 1
        by_start: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}
        for row in self.rows:
            if row.get("history"):
                by_start.setdefault((row["model_id"], row["seed"]), {})[row["start"]] = row
        found = []
        for (model_id, seed), rows in by_start.items():
            if set(rows) != set(STARTS):
                continue
            values = {
                start: sign * np.array(row["history"][name], np.float64)
                for start, row in rows.items()
            }
            goal = min(np.nanmax(value) for value in values.values())
            epochs = {start: int(np.argmax(value >= goal)) for start, value in values.items()}
            seconds = {start: rows[start]["history"]["seconds"][epochs[start]] for start in STARTS}
            found.append(
                {
                    "model_id": model_id,
                    "seed": seed,
                    "value": sign * float(goal),
                    **{f"seconds_{start}": seconds[start] for start in STARTS},
                    **{f"epochs_{start}": epochs[start] + 1 for start in STARTS},
                    "times_faster": seconds["scratch"] / seconds["inherited"],
                }
            )
        return pd.DataFrame(found)

    def _refuse_chosen(self, training: Mapping[str, Any]) -> None:
        """Refuses a training key that each architecture has a value of its own for."""
        for candidate in self._best.candidates if training else ():
            job = EvaluationJob.read(candidate.job, self._best.settings)
            chosen = job.space.training(job.arch_seq)
            if ignored := [name for name in training if name in chosen]:
                raise InvalidValueError(
                    f"{ignored[0]} is chosen with each architecture, such as "
                    f"{chosen[ignored[0]]!r}, which is trained with its own; leave it out"
                )

    def _call(self, candidate: Any, start: str, seed: int) -> tuple[Any, tuple[Any, ...], Any]:
        keywords: dict[str, Any] = {"start": start, "epochs": self._epochs}
        if self._save:
            file = self.folder / f"{candidate.model_id}-{start}-{seed}.keras"
            keywords["save"] = str(file.absolute())
        settings = self._best.settings
        training = {**(candidate.job.get("training") or {}), **self._training}
        job = {**candidate.job, "seed": settings["seed"] + seed, "training": training}
        return retrain, (job, settings), keywords

    def _row(
        self, candidate: Any, key: tuple[str, str, int], outcome: Mapping[str, Any]
    ) -> dict[str, Any]:
        model_id, start, seed = key
        ids = [one.model_id for one in self._best.candidates]
        return {
            "rank": ids.index(model_id) + 1,
            "model_id": model_id,
            "start": start,
            "seed": seed,
            "epochs_asked": self._epochs,
            **({"training_asked": self._training} if self._training else {}),
            "found": candidate.objective,
            **outcome,
            "architecture": candidate.architecture,
        }

    def _read(self) -> list[dict[str, Any]]:
        path = self.folder / _LOG
        if not path.exists():
            return []
        rows, _ = read_whole_lines(path)
        for row in rows:
            asked, found = row.get("training_asked", {}), ""
            if row["epochs_asked"] != self._epochs:
                found = f"of {row['epochs_asked']} epochs, not {self._epochs}"
            elif asked != self._training:
                found = f"with {asked or 'the options of the search'}, not {self._training}"
            if found:
                raise CampaignError(
                    f"{self.folder} holds trainings {found}; name another folder with --out, or "
                    "give the same options"
                )
        return rows


def _key(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["model_id"], row["start"], row["seed"]
