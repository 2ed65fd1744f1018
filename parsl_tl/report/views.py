"""Views of a run as data: each answers one question with one table.

Seconds are seconds of search since its start. Tables are whole; what is drawn is thinned out later.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from parsl_tl.analysis import transfer_topics as topics
from parsl_tl.analysis.transfers import Transfers, from_results
from parsl_tl.report.run import FINAL_STATES
from parsl_tl.search.campaign_results import column_of, with_front
from parsl_tl.training.report import STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from parsl_tl.report.run import Run

_WINDOWS = 120
_TARGETS = (0.5, 0.9, 0.95, 0.99, 1.0)
_NUMBERS = re.compile(r"\d+(?:\.\d+)?")


def progress(run: Run) -> pd.DataFrame:
    """Returns the best value so far, evaluation by evaluation.

    Columns: ``evaluation`` (from 1, as they ended), ``job``, ``model_id``, ``seconds``,
    ``cpu_seconds`` (of all so far), ``objective`` (NaN for a failure), ``best`` (so far).
    """
    frame = run.frame
    objective = frame["objective"].to_numpy(np.float64)
    best = np.fmax.accumulate(objective) if len(objective) else objective
    return pd.DataFrame(
        {
            "evaluation": np.arange(1, len(frame) + 1),
            "job": frame["job"],
            "model_id": frame["model_id"],
            "seconds": frame["ended"],
            "cpu_seconds": _numbers(frame, "seconds_cpu").cumsum(),
            "objective": objective,
            "best": best,
        }
    )


def targets(runs: Sequence[Run]) -> list[float]:
    """Returns values that tell how soon runs got anywhere.

    They are shares of the way from the first value to the best that all runs reached, in the run
    that got there last.
    """
    found = [run.good["objective"] for run in runs if len(run.good)]
    if not found:
        return []
    first = min(float(values.iloc[0]) for values in found)
    best = min(float(values.max()) for values in found)
    return sorted({first + share * (best - first) for share in _TARGETS})


def time_to_target(runs: Sequence[Run], wanted: Sequence[float] | None = None) -> pd.DataFrame:
    """Returns when each run reached each value.

    Columns: ``run``, ``target``, ``evaluations``, ``seconds``, ``cpu_seconds``; NaN for never.

    Args:
        runs: to compare.
        wanted: values of the objective; ``targets`` when None.
    """
    rows = []
    for run in runs:
        grown = progress(run)
        for target in targets(runs) if wanted is None else wanted:
            # What is printed and typed is rounded.
            reached = grown[grown["best"] >= target - 1e-9 * max(1.0, abs(target))]
            row: dict[str, Any] = {"run": run.name, "target": target}
            for name, column in (
                ("evaluations", "evaluation"),
                ("seconds", "seconds"),
                ("cpu_seconds", "cpu_seconds"),
            ):
                row[name] = float(reached[column].iloc[0]) if len(reached) else np.nan
            rows.append(row)
    return pd.DataFrame(rows, columns=["run", "target", "evaluations", "seconds", "cpu_seconds"])


def front(run: Run) -> pd.DataFrame:
    """Returns the objective beside what is kept small; empty where nothing is.

    Columns: ``model_id``, ``objective``, one for each figure that is minimized, ``pareto``.
    """
    minimize = run.settings.minimize
    columns = [name for name in dict.fromkeys(map(column_of, minimize)) if name in run.good]
    if not columns or run.good.empty:
        return pd.DataFrame()
    found = with_front(run.good.drop(columns="pareto", errors="ignore").copy(), minimize)
    return found[["model_id", "objective", *columns, "pareto"]].reset_index(drop=True)


def timeline(run: Run) -> pd.DataFrame:
    """Returns who did what when; empty where no release noted it.

    Columns: ``lane`` (the worker), ``job``, ``model_id``, ``started``, ``ended``, ``failed``, and
    the seconds of each of ``STEPS``.
    """
    frame = run.frame
    known = frame["lane"].notna() & frame["started"].notna() & frame["ended"].notna()
    frame = frame[known]
    found = frame[["lane", "job", "model_id", "started", "ended"]].copy()
    found["failed"] = frame["objective"].isna()
    for step in STEPS:
        found[step] = _numbers(frame, f"seconds_{step}")
    return found.reset_index(drop=True)


def workers(run: Run) -> pd.DataFrame:
    """Returns a row for each worker.

    Columns: ``worker``, ``evaluations``, ``failed``, ``busy`` (share of its time since its first
    evaluation), ``first`` and ``last`` (seconds).
    """
    done = timeline(run)
    columns = ["worker", "evaluations", "failed", "busy", "first", "last"]
    if done.empty:
        return pd.DataFrame(columns=columns)
    done["spent"] = done["ended"] - done["started"]
    found = done.groupby("lane", sort=True).agg(
        evaluations=("job", "size"),
        failed=("failed", "sum"),
        spent=("spent", "sum"),
        first=("started", "min"),
        last=("ended", "max"),
    )
    until = max(run.now, float(found["last"].max()))
    now = _at_work(run).groupby("lane")["started"].first()
    found["spent"] += (until - now).reindex(found.index).fillna(0.0)
    found["busy"] = (found["spent"] / (until - found["first"]).clip(lower=1e-9)).clip(upper=1.0)
    return found.rename_axis("worker").reset_index()[columns]


def utilization(run: Run) -> pd.DataFrame:
    """Returns how many workers were busy: ``seconds`` (middle of a window), ``busy``, ``share``."""
    done = timeline(run)
    if done.empty:
        return pd.DataFrame(columns=["seconds", "busy", "share"])
    end = max(run.now, float(done["ended"].max()), 1e-9)
    edges = np.linspace(0.0, end, _WINDOWS + 1)
    started = pd.concat([done["started"], _at_work(run)["started"]])
    busy = _passed(started, edges) - _passed(done["ended"], edges)
    mean = np.diff(busy) / np.diff(edges)
    return pd.DataFrame(
        {
            "seconds": (edges[:-1] + edges[1:]) / 2,
            "busy": mean,
            "share": mean / done["lane"].nunique(),
        }
    )


def _at_work(run: Run) -> pd.DataFrame:
    """Returns what workers have told that they are at, where somebody searches."""
    known = run.running["started"].notna() & run.is_active
    return run.running[known]


def _passed(times: pd.Series[float], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns, for each edge, the sum over times of how long ago each was by then."""
    ordered = np.sort(times.to_numpy(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    passed = np.searchsorted(ordered, edges, side="right")
    result: NDArray[np.float64] = passed * edges - sums[passed]
    return result


def steps(run: Run) -> pd.DataFrame:
    """Returns mean seconds per step, in windows of evaluations as they ended.

    Columns: ``evaluation`` (the last of the window), one for each of ``STEPS``, ``other``.
    """
    frame = run.good
    if frame.empty or "seconds_total" not in frame:
        return pd.DataFrame(columns=["evaluation", *STEPS, "other"])
    found = pd.DataFrame({step: _numbers(frame, f"seconds_{step}") for step in STEPS})
    total = _numbers(frame, "seconds_total")
    found["other"] = (total - found.sum(axis=1)).clip(lower=0.0)
    window = np.arange(len(found)) * min(_WINDOWS, len(found)) // len(found)
    means = found.groupby(window).mean()
    ends = (pd.Series(frame.index).groupby(window).max() + 1).rename("evaluation")
    return pd.concat([ends, means], axis=1)


def transfers(run: Run) -> Transfers | None:
    """Returns who gave what to whom; None where nothing has succeeded."""
    frame = run.good
    if frame.empty or "layers_transferred" not in frame:
        return None
    return from_results(frame.reset_index(drop=True), str(run.folder))


def prefixes(run: Run) -> pd.DataFrame:
    """Returns how many models took over how many layers; see ``prefix_lengths``."""
    found = transfers(run)
    return pd.DataFrame() if found is None else topics.prefix_lengths(found)


def shares(run: Run) -> pd.DataFrame:
    """Returns the share of its layers that each child took over: ``seconds``, ``share``, ..."""
    frame = run.good[run.good["parent"].notna()]
    if frame.empty or "layers_transferred" not in frame:
        return pd.DataFrame(columns=["evaluation", "seconds", "share"])
    layers = _numbers(frame, "layers_total").clip(lower=1.0)
    return pd.DataFrame(
        {
            "evaluation": frame.index + 1,
            "seconds": frame["ended"],
            "share": _numbers(frame, "layers_transferred") / layers,
        }
    )


def donors(run: Run, top: int = 8) -> pd.DataFrame:
    """Returns the donors' shares of the latest transfers; see ``popularity``."""
    found = transfers(run)
    if found is None or not len(found.receivers):
        return pd.DataFrame(columns=["end", "donor", "share"])
    window = max(10, len(found.receivers) // 20)
    return topics.popularity(found, window, top)[0]


def storage(run: Run) -> pd.DataFrame:
    """Returns what was stored beside what full copies would have taken, in bytes so far.

    Columns: ``evaluation``, ``seconds``, ``stored``, ``full_copies``.
    """
    frame = run.good
    return pd.DataFrame(
        {
            "evaluation": frame.index + 1,
            "seconds": frame["ended"],
            "stored": _numbers(frame, "bytes_stored").cumsum(),
            "full_copies": _numbers(frame, "bytes_total").cumsum(),
        }
    )


def choices(run: Run, most_windows: int = 40) -> pd.DataFrame:
    """Returns which values were chosen, in windows of evaluations as they ended.

    Columns: ``end`` (evaluation at the window's end), ``choice``, ``value``, ``share``. Empty where
    the space is not known here.
    """
    columns = ["end", "choice", "value", "share"]
    if run.space is None or run.frame.empty:
        return pd.DataFrame(columns=columns)
    sequences = np.array(run.frame["arch_seq"].tolist(), np.int64)
    # Shares of a few evaluations would jump.
    windows = min(most_windows, max(3, len(sequences) // 20))
    ends = np.unique(np.linspace(0, len(sequences), windows + 1).round().astype(int))
    rows: list[tuple[int, str, str, float]] = []
    for place, choice in enumerate(run.space.choices()):
        labels = [str(value) for value in choice.values]
        for begin, end in itertools.pairwise(ends):
            counts = np.bincount(sequences[begin:end, place], minlength=len(labels))
            rows.extend(
                (int(end), choice.name, labels[index], float(counts[index] / (end - begin)))
                for index in np.flatnonzero(counts).tolist()
            )
    return pd.DataFrame(rows, columns=columns)


def failures(run: Run) -> pd.DataFrame:
    """Returns a row for each failed evaluation, those of the most frequent reason first.

    Columns: ``reason``, ``job``, ``model_id``, ``worker``, ``seconds``, ``message``, and ``alike``:
    the message with its numbers taken out, equal for what failed alike.
    """
    frame = run.frame[run.frame["objective"].isna()]
    texts = frame["error"] if "error" in frame else pd.Series(None, frame.index, object)
    found = pd.DataFrame(
        {
            "reason": frame["failure"],
            "job": frame["job"],
            "model_id": frame["model_id"],
            "worker": frame.get("worker"),
            "seconds": frame["ended"],
            "message": texts.fillna(""),
        }
    )
    found["alike"] = [_NUMBERS.sub("…", str(text)) for text in found["message"]]
    counts = found["reason"].map(found["reason"].value_counts())
    order = np.lexsort((found["job"], found["reason"].astype(str), -counts))
    return found.iloc[order].reset_index(drop=True)


def sites(run: Run) -> pd.DataFrame:
    """Returns a row for each site; empty where no release noted them.

    Columns: ``site``, ``evaluations``, ``failed``, ``wait_seconds`` (mean, for a free worker),
    ``lost`` (with their workers, and asked again), ``blocks`` (that the scheduler has told of) and
    ``blocks_ended`` (of these).
    """
    notes = pd.DataFrame(run.notes, columns=["event", "site", "block", "state"])
    blocks = notes[notes["event"] == "block"].drop_duplicates(["site", "block"], keep="last")
    ended = blocks[blocks["state"].isin(FINAL_STATES)]
    done = run.frame.assign(failed=run.frame["objective"].isna()).groupby("site")
    found = done.agg(
        evaluations=("job", "size"), failed=("failed", "sum"), wait_seconds=("waited", "mean")
    )
    for name, rows in (
        ("lost", notes[notes["event"] == "lost"]),
        ("blocks", blocks),
        ("blocks_ended", ended),
    ):
        found = found.join(rows.groupby("site").size().rename(name), how="outer")
    counts = ["evaluations", "failed", "lost", "blocks", "blocks_ended"]
    found[counts] = found[counts].fillna(0).astype(int)
    return found.rename_axis("site").reset_index()


def told_of(run: Run, jobs: Sequence[int]) -> dict[int, str]:
    """Returns what there is to read of evaluations, by job: losses of their workers, tracebacks."""
    found: dict[int, list[str]] = {job: [] for job in jobs}
    for note in run.notes:
        if note["event"] == "lost" and note["job"] in found:
            found[note["job"]].append(f"lost on {note['site']}: {note['error']}: {note['text']}")
    for job in jobs:
        if job in run.tracebacks:
            found[job].append(run.tracebacks[job].rstrip())
    return {
        job: "\n".join(lines) if lines else "Nothing more was noted of it."
        for job, lines in found.items()
    }


def _numbers(frame: pd.DataFrame, name: str) -> pd.Series[float]:
    """Returns a column as floats, 0 where there is nothing."""
    if name not in frame:
        return pd.Series(0.0, frame.index)
    return frame[name].astype(float).fillna(0.0)
