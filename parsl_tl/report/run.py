"""A run as its folder tells it, while it runs and long after."""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import CampaignError, ParslTLError
from parsl_tl.imports import add_import_folders
from parsl_tl.report.search_clock import SearchClock
from parsl_tl.search.kept_figures import kept_metrics
from parsl_tl.search.results import results_frame
from parsl_tl.search.settings import CampaignSettings
from parsl_tl.spaces import get_space
from parsl_tl.spaces.hyperparameters import with_hyperparameters
from parsl_tl.store.model_id import format_model_id
from parsl_tl.training.namespaces import JOB_KEYS
from parsl_tl.training.worker_note import read_notes

if TYPE_CHECKING:
    import pandas as pd

    from parsl_tl.spaces import SearchSpace

# A run that was silent for so many times its longest evaluation does not run any more.
_SILENCES = 5.0
_LEAST_SILENCE = 120.0
# By how many nanoseconds the clocks of two nodes may differ.
_CLOCKS_APART = 60e9
# The latest ones tell what still holds.
_MOST_NOTES = 20_000

FINAL_STATES: Final = ("completed", "failed", "cancelled", "timeout", "scaled_in", "missing")
"""States of a block, as lines of the journal name them, after which there is no other."""


@dataclass(frozen=True)
class Run:
    """What a run folder said when it was read.

    Attributes:
        folder: of the run.
        settings: of the campaign.
        space: what is searched; None where it cannot be loaded here.
        frame: a row for each finished evaluation, in the order in which they ended: the columns of
            ``results_frame``, and ``submitted``, ``started``, ``ended`` (seconds of search since
            its start; NaN where nobody noted it), ``lane`` (the worker), ``site`` (None where
            nobody noted it) and ``waited`` (seconds for a free worker; NaN).
        running: evaluations that have not ended: ``job``, ``model_id``, ``parent``, ``submitted``,
            and where its worker has told, ``lane``, ``step`` that it is at, ``started``.
        tracebacks: of failed evaluations, by job.
        notes: lines of the journal beside evaluations: ``lost``, ``block``, ``warning``; none in
            runs of older releases.
        machine: what ``machine.json`` holds; empty in older runs.
        now: seconds of search since its start, when this was read; the end of a run that is over.
        silence: seconds between the latest event and the reading; NaN where nobody noted times.
        is_active: whether somebody seems to search: an evaluation is under way, and the silence is
            no longer than evaluations take.
    """

    folder: Path
    settings: CampaignSettings
    space: SearchSpace | None
    frame: pd.DataFrame
    running: pd.DataFrame
    tracebacks: Mapping[int, str]
    notes: Sequence[Mapping[str, Any]]
    machine: Mapping[str, Any]
    now: float
    silence: float
    is_active: bool

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name or str(self.folder)

    @property
    def total(self) -> int:
        """Evaluations that are wanted, or that there are if these are more."""
        return max(self.settings.max_evals or 0, len(self.frame))

    @cached_property
    def good(self) -> pd.DataFrame:
        """The evaluations that succeeded."""
        return self.frame[self.frame["objective"].notna()]

    @cached_property
    def choices(self) -> list[str]:
        """Names of the space's choices, in the order of ``arch_seq``."""
        return [] if self.space is None else [choice.name for choice in self.space.choices()]


class RunReader:
    """Reads a run folder, and afterwards only what its journal has grown by."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Reads nothing but the settings.

        Raises:
            CampaignError: there is no campaign in the folder.
        """
        self.folder = Path(folder).expanduser().absolute()
        self.settings = CampaignSettings.read(self.folder / "config.json")
        self.space = _space(self.settings)
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        self._lines = 0
        self._rows: dict[int, dict[str, Any]] = {}
        self._submitted: dict[int, tuple[int | None, dict[str, Any]]] = {}
        self._tracebacks: dict[int, str] = {}
        self._notes: deque[dict[str, Any]] = deque(maxlen=_MOST_NOTES)
        self._last_ns: int | None = None

    @property
    def num_finished(self) -> int:
        """Evaluations that were finished when the journal was last read."""
        return len(self._rows)

    def read(self) -> bool:
        """Takes in what the journal has since the last time; returns whether that is anything.

        Raises:
            CampaignError: a line of the journal is damaged, or it cannot be read.
        """
        path = self.folder / "journal.jsonl"
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:  # another search's, from now on
                    self._forget()
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:  # nothing has been submitted yet
            return False
        except OSError as error:
            raise CampaignError(f"{path} cannot be read: {error.strerror}") from error
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            self._lines += 1
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise CampaignError(
                    f"{path}, line {self._lines}, is damaged; restore the file from a copy"
                ) from error
        self._offset += whole
        return whole > 0

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] not in ("submitted", "finished"):
            if event["event"] != "retired":
                self._notes.append(event)
            return
        job = int(event["config"]["job"])
        self._last_ns = event.get("time_ns", self._last_ns)
        if event["event"] == "submitted":
            self._submitted[job] = (event.get("time_ns"), event["config"])
            return
        if job in self._rows:
            return
        metadata = event["metadata"]
        for name, value in kept_metrics(metadata).items():
            metadata.setdefault(name, value)
        metadata.pop("history", None)  # the largest parts of a row
        metadata.pop("steps", None)
        event["site"], event["waited"] = _queued(
            event.pop("stages", ()), metadata.get("started_ns")
        )
        text = metadata.pop("traceback", None)
        if text:
            self._tracebacks[job] = text
        self._rows[job] = event

    def run(self) -> Run:
        """Returns the run as it was when the journal was last read."""
        frame = results_frame(self._rows.values(), self._choices())
        times = self._times()
        clock = self._clock(times)
        for name, values in times.items():
            frame[name] = clock.seconds(values)
        if len(frame) and "seconds_total" in frame:
            # Releases that noted no start: it is known from the end and the duration.
            guess = frame["ended"] - frame["seconds_total"].astype(float)
            frame["started"] = frame["started"].fillna(guess)
        slots = frame["slot"] if "slot" in frame else [None] * len(frame)
        workers = frame["worker"] if "worker" in frame else [None] * len(frame)
        frame["lane"] = [lane_of(*one) for one in zip(workers, slots, strict=True)]
        for name in ("site", "waited"):
            frame[name] = [row[name] for row in self._rows.values()]
        machine = self.folder / "machine.json"
        last_ns = self._last_ns
        silence = math.nan if last_ns is None else (time.time_ns() - last_ns) / 1e9
        active = self._is_active(times, silence)
        return Run(
            folder=self.folder,
            settings=CampaignSettings.read(self.folder / "config.json"),
            space=self.space,
            frame=frame,
            running=self._running(clock),
            tracebacks=self._tracebacks,
            notes=list(self._notes),
            machine=json.loads(machine.read_text()) if machine.is_file() else {},
            now=clock.now(time.time_ns() if active else last_ns),
            silence=silence,
            is_active=active,
        )

    def _choices(self) -> list[str]:
        if self.space is not None:
            return [choice.name for choice in self.space.choices()]
        first: Mapping[str, Any] = next(iter(self._rows.values()), {"config": {}})
        config = first["config"]
        return list(config.get("choices") or (name for name in config if name not in JOB_KEYS))

    def _times(self) -> dict[str, NDArray[np.float64]]:
        """Returns nanoseconds of each finished evaluation; NaN where nobody noted them."""
        rows = list(self._rows.values())
        found: dict[str, list[float | None]] = {"submitted": [], "started": [], "ended": []}
        for row in rows:
            metadata = row["metadata"]
            submitted, _ = self._submitted.get(row["config"]["job"], (None, {}))
            gathered = metadata.get("timestamp_gather")  # of DeepHyper, since the search started
            found["submitted"].append(submitted or _ns(metadata.get("timestamp_submit")))
            found["started"].append(metadata.get("started_ns"))
            found["ended"].append(metadata.get("ended_ns") or row.get("time_ns") or _ns(gathered))
        return {name: np.array(values, np.float64) for name, values in found.items()}

    def _clock(self, times: Mapping[str, NDArray[np.float64]]) -> SearchClock:
        open_jobs = self._submitted.keys() - self._rows.keys()
        open_ns = [one for job in open_jobs if (one := self._submitted[job][0])]
        ends = [max(one, self._last_ns or one) for one in open_ns]
        return SearchClock(
            np.concatenate([times["submitted"], np.array(open_ns, np.float64)]),
            np.concatenate([times["ended"], np.array(ends, np.float64)]),
        )

    def _running(self, clock: SearchClock) -> pd.DataFrame:
        import pandas as pd

        open_jobs = {job: one for job, one in self._submitted.items() if job not in self._rows}
        columns = ["job", "model_id", "parent", "submitted", "lane", "step", "started"]
        notes = {note.get("job"): note for note in read_notes(self.folder)}
        rows = [
            (
                job,
                format_model_id(config["model_id"]),
                None if config["parent"] is None else format_model_id(config["parent"]),
                _seconds(clock, time_ns),
                *_told(clock, notes.get(job, {}), time_ns),
            )
            for job, (time_ns, config) in open_jobs.items()
        ]
        return pd.DataFrame(rows, columns=columns)

    def _is_active(self, times: Mapping[str, NDArray[np.float64]], silence: float) -> bool:
        if math.isnan(silence) or len(self._rows) >= len(self._submitted):
            return False
        took = (times["ended"] - times["submitted"]) / 1e9
        longest = float(np.nanmax(took)) if np.isfinite(took).any() else 0.0
        return silence < max(_LEAST_SILENCE, _SILENCES * longest)


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Reads a run folder.

    Raises:
        CampaignError: there is no campaign in it, or its journal is damaged.
    """
    reader = RunReader(folder)
    reader.read()
    return reader.run()


def _space(settings: CampaignSettings) -> SearchSpace | None:
    """Returns the space of a run; None where its module is not to be had here."""
    try:
        add_import_folders(settings.import_folders)
        space = get_space(settings.space, **settings.space_args)
        return with_hyperparameters(space, settings.hyperparameters)
    except ParslTLError:  # the run is looked at elsewhere than where it was made
        return None


def _queued(stages: Sequence[Sequence[Any]], started_ns: int | None) -> tuple[str | None, float]:
    """Returns the site that an evaluation was given to last, and the seconds that it waited."""
    tasks = [stage for stage in stages if stage[0] == "task"]
    if not tasks or started_ns is None:
        return (tasks[-1][2]["site"] if tasks else None), math.nan
    pairs = itertools.pairwise(stages)
    queued = sum(later[1] - this[1] for this, later in pairs if this[0] == "queue")
    # Clocks of nodes may differ.
    return tasks[-1][2]["site"], (queued + max(0, started_ns - tasks[-1][1])) / 1e9


def _ns(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e9


def _seconds(clock: SearchClock, time_ns: int | None) -> float:
    return float(clock.seconds(np.array([time_ns], np.float64))[0])


def _told(
    clock: SearchClock, note: Mapping[str, Any], submitted_ns: int | None
) -> tuple[str | None, str | None, float]:
    """Returns lane, step and start of an evaluation that its worker has noted."""
    started = note.get("started_ns")
    # An evaluation that was lost with its worker is asked again; the note is of the lost one.
    if started is None or (submitted_ns is not None and started < submitted_ns - _CLOCKS_APART):
        return None, None, float("nan")
    return lane_of(note["worker"], note.get("slot")), note.get("step"), _seconds(clock, started)


def lane_of(worker: Any, slot: Any) -> str | None:
    """Names a worker, so that one started anew has the name of the one before; None for none.

    Args:
        worker: host and process.
        slot: of Parsl, if it was noted.
    """
    if not isinstance(worker, str):
        return None
    if not isinstance(slot, str):
        return worker
    block, _, rank = slot.split("/")
    return f"{worker.rpartition(':')[0]} block {block} worker {rank}"
