"""How long reading a subset of a model's layers takes, from every format and from the store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from parsl_tl.benchmarks.core.networks import Networks
from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.report import Plot
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import Where, run_each
from parsl_tl.benchmarks.formats import LAYER_FORMATS, format_of
from parsl_tl.benchmarks.suites.layer_load_task import (
    COLD,
    EVERYTHING,
    WARM,
    Subset,
    load_file_layers,
    load_network_layers,
    load_row,
)
from parsl_tl.benchmarks.suites.network_tasks import check_network_room


@dataclass(frozen=True)
class LoadSettings:
    """What is measured."""

    files: tuple[Path, ...] = option(
        (), "read these, and no --model", metavar="FILE", may_be_empty=True
    )
    formats: tuple[str, ...] | None = option(
        None, f"of {', '.join(LAYER_FORMATS)} (all)", choices=tuple(LAYER_FORMATS)
    )
    layers: tuple[str, ...] = option((), "read these layers", may_be_empty=True)
    count: tuple[int, ...] = option((), "read the first N", least=1, may_be_empty=True)
    share: tuple[float, ...] = option(
        (), "read this share of them", above=0, most=1, may_be_empty=True
    )
    repeats: int = option(3, "of every read", least=1)
    drop_caches: bool = option(False, "drop all caches of the machine, where permitted")
    folder: Path | None = option(None, "of the files (the system's temporary one)")
    networks: Networks = nested(Networks(("dense:250x20", "resnet152")), "networks")
    where: Where = nested(Where(), "where it runs")

    @property
    def subsets(self) -> tuple[Subset, ...]:
        """Which layers are read, beside everything."""
        given = [Subset(names=self.layers)] if self.layers else []
        given += [Subset(count=count) for count in self.count]
        given += [Subset(share=share) for share in self.share]
        return tuple(given) or (Subset(count=1), Subset(share=0.1), Subset(share=0.5))


def check(settings: LoadSettings) -> LoadSettings:
    """Returns the settings, if they can be measured; files are looked at later.

    Raises:
        InvalidValueError: a network that can never work.
        BenchmarkError: a file's name tells no format; or see ``check_network_room``.
    """
    for path in settings.files:
        format_of(path)
    if not settings.files:
        check_network_room(settings)
    return settings


def measure(settings: LoadSettings, progress: Progress = silent) -> Tables:
    """Measures everything; what fails becomes a row with its reason.

    Returns:
        ``load_single``: ``time_sec`` (until the arrays are in memory of their own, opening
        included; None if it failed), ``model`` (name of the network, or the file), ``format``,
        ``subset``, ``layers`` (how many), ``bytes`` of their weights, ``cache`` (``cold``: the
        files' pages were thrown out before; ``warm``: just read before), ``successful`` (all
        layers came, byte for byte), ``result`` (``ok``, or why not; and whether pages stayed in
        memory that should not have), ``cached_share`` (of the files' pages that was in memory
        before the read, from 0 to 1; None where the system does not tell), ``drop_method`` (how
        pages were thrown out: ``posix_fadvise`` or ``drop_caches``), ``file_system``, ``repeat``.
    """
    how = (settings.subsets, settings.repeats, settings.drop_caches)
    folder = None if settings.folder is None else settings.folder.resolve()
    steps: list[tuple[str, str, Any, tuple[Any, ...]]] = [
        (str(path), format_of(path), load_file_layers, (path.resolve(), *how))
        for path in settings.files
    ] or [
        (network.label, name, load_network_layers, (network, name, *how, folder))
        for network in settings.networks.all
        for name in settings.formats or ()
    ]
    calls = [(f"{label}, {name}", *call) for label, name, *call in steps]
    rows: list[Row] = []
    for step, result in zip(steps, run_each(settings.where, calls, progress), strict=True):
        failed = isinstance(result, str)
        rows += [load_row(step[0], step[1], Subset(), COLD, 1, result=result)] if failed else result
    return {"load_single": rows}


def summary(frames: Frames) -> list[tuple[str, Any]]:
    """Returns medians over the repeats: a title and a table for each model."""
    rows = frames["load_single"].astype({"time_sec": float, "bytes": float})
    return [
        (f"{model}: reading layers, medians", _table(own))
        for model, own in rows.groupby("model", sort=False)
    ]


def _table(rows: Any) -> Any:
    keys = ["format", "subset"]
    groups = rows.groupby(keys, sort=False)
    times = rows.pivot_table("time_sec", keys, "cache", aggfunc="median", sort=False)
    times = times.reindex(index=groups.size().index, columns=[COLD, WARM])
    whole = times.xs(EVERYTHING, level="subset").reindex(times.index.get_level_values("format"))
    shares = (times / whole.to_numpy()).map("{:.1%}".format, na_action="ignore")
    # What went wrong counts for more than what is only to be noted.
    notes = rows[rows.result != "ok"].sort_values("successful", kind="stable")
    notes = notes.groupby(keys).result.first().reindex(times.index).fillna("ok")
    columns = {"MB": groups.bytes.first() / 1e6, "cold, s": times[COLD], "warm, s": times[WARM]}
    columns |= {"share of everything, cold": shares[COLD], "warm": shares[WARM], "result": notes}
    return pd.DataFrame(columns)


def remarks(frames: Frames) -> list[str]:
    """Says how pages were thrown out of memory, and whether they were really gone."""
    rows = frames["load_single"]
    cold = rows[(rows.cache == COLD) & rows.successful]
    told = []
    for (way, kind), own in cold.groupby(["drop_method", "file_system"], sort=False):
        known = own.cached_share.dropna()
        stayed = f"at most {max(known):.1%} of a model's pages stayed" if len(known) else ""
        stayed = stayed or "the system does not tell whether pages stayed"
        told.append(f"Cold reads from {kind}: {way}; {stayed} in memory (mincore)")
    return told


def plots(frames: Frames) -> list[Plot]:
    """Returns seconds over megabytes for each model: a line for each format, cold and warm."""
    rows = frames["load_single"]
    found = []
    for model, own in rows[rows.successful].groupby("model", sort=False):
        name = re.sub(r"[^\w.-]+", "-", Path(str(model)).name).strip("-")
        own = own.assign(MB=own.bytes.astype(float) / 1e6)
        frame = own.pivot_table("time_sec", "MB", ["format", "cache"], aggfunc="median")
        frame.columns = [", ".join(pair) for pair in frame.columns]
        label, across = "seconds, median, opening included", "MB of weights that are read"
        found.append(Plot(f"load-{name}", str(model), frame, label, "line", "xy", across, WARM))
    return found


def failures(frames: Frames) -> list[str]:
    """Returns what went wrong."""
    rows = frames["load_single"]
    return sorted(set(rows.result[~rows.successful]))


SUITE: Final = Suite(
    name="load",
    label="load",
    default=LoadSettings(),
    check=check,
    measure=measure,
    summary=summary,
    plots=plots,
    remarks=remarks,
    failures=failures,
    out="runs/load",
)
