"""How long reading a subset of a model's layers takes, from every format and from the store."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from parsl_tl.benchmarks.core.networks import Networks
from parsl_tl.benchmarks.core.options import nested, option
from parsl_tl.benchmarks.core.room import check_room
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import Where, run_each
from parsl_tl.benchmarks.formats import format_of
from parsl_tl.benchmarks.suites.layer_load_task import (
    COLD,
    EVERYTHING,
    LOAD_FORMATS,
    WARM,
    Subset,
    load_file_layers,
    load_network_layers,
    load_row,
)
from parsl_tl.reporting.frame_plots import Plot

_ROOM: Final = 1.2
# The model, a copy to compare with, what is read, and the store's mapping.
_COPIES: Final = 4


@dataclass(frozen=True)
class LoadSettings:
    """What is measured."""

    files: tuple[Path, ...] = option(
        (), "read these, and no --model", metavar="FILE", may_be_empty=True
    )
    formats: tuple[str, ...] | None = option(
        None, f"of {', '.join(LOAD_FORMATS)} (all)", choices=LOAD_FORMATS
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
        BenchmarkError: the folder is missing, or it or the memory has not enough room; a file's
            name tells no format.
    """
    for path in settings.files:
        format_of(path)
    if not settings.files:
        largest = settings.networks.check()
        if settings.where.config is None:
            advice = "a smaller --model or --scale"
            check_room(settings.folder, largest * _ROOM, largest * _COPIES, advice)
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
    steps: list[tuple[str, str, Callable[..., Any], tuple[Any, ...]]] = [
        (network.label, name, load_network_layers, (network, name, *how, folder))
        for network in (() if settings.files else settings.networks.all)
        for name in settings.formats or ()
    ]
    for path in settings.files:
        steps.append((str(path), format_of(path), load_file_layers, (path.resolve(), *how)))
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
    groups = rows.groupby(["format", "subset"], sort=False)
    times = rows.pivot_table(
        index=["format", "subset"], columns="cache", values="time_sec", aggfunc="median"
    ).reindex(index=groups.size().index, columns=[COLD, WARM])
    whole = times.xs(EVERYTHING, level="subset").reindex(times.index.get_level_values("format"))
    shares = times / whole.to_numpy()
    # What went wrong counts for more than what is only to be noted.
    notes = rows[rows.result != "ok"].sort_values("successful", kind="stable")
    notes = notes.groupby(["format", "subset"]).result.first()
    table = pd.DataFrame({"MB": groups.bytes.first() / 1e6})
    for cache, title in ((COLD, "share of everything, cold"), (WARM, "warm")):
        table[f"{cache}, s"] = times[cache]
        table[title] = [f"{share:.1%}" if share == share else "" for share in shares[cache]]
    table["result"] = notes.reindex(table.index).fillna("ok")
    return table[["MB", "cold, s", "warm, s", "share of everything, cold", "warm", "result"]]


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
        frame = own.pivot_table(
            index="MB", columns=["format", "cache"], values="time_sec", aggfunc="median"
        )
        frame.columns = [", ".join(pair) for pair in frame.columns]
        label = "seconds, median, opening included"
        across = "MB of weights that are read"
        found.append(Plot(f"load-{name}", str(model), frame, label, "line", "xy", across, WARM))
    return found


def failures(frames: Frames) -> list[str]:
    """Returns what went wrong."""
    rows = frames["load_single"]
    return sorted(set(rows.result[~rows.successful]))


SUITE: Final = Suite(
    name="load",
    label="load",
    text="reading some of a model's layers, from every format",
    title="Reading some of the layers",
    small=("--model", "dense:16x10"),
    default=LoadSettings(),
    check=check,
    measure=measure,
    summary=summary,
    plots=plots,
    remarks=remarks,
    failures=failures,
    out="runs/load",
)
