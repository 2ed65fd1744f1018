"""Where the time of an evaluation goes, step by step, beside Keras' own ``fit``."""

from __future__ import annotations

import importlib.util
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import pandas as pd

from parsl_tl.benchmarks.core.options import Presets, names_option, nested, option
from parsl_tl.benchmarks.core.room import temporary_folder
from parsl_tl.benchmarks.core.suite import Frames, Progress, Suite, Tables, in_steps, silent
from parsl_tl.benchmarks.core.task_runner import Where, task_runner
from parsl_tl.benchmarks.suites.evaluation_steps import (
    KERAS,
    MODES,
    OURS,
    STEPS,
    EvaluationCase,
    measure_case,
)
from parsl_tl.errors import ProblemError
from parsl_tl.problems.data_folder import find_data
from parsl_tl.problems.idx_images import IDX_FILES, FashionMnist
from parsl_tl.problems.made_data import make_data
from parsl_tl.reporting.frame_plots import Plot

NT3: Final = "nt3"
CASES: Final = {
    "digits": EvaluationCase("digits", "dense-skip", 0.6),
    "fashion-mnist": EvaluationCase("fashion-mnist", "lenet", 0.6, 6000),
    # Everything up to the dense layers.
    NT3: EvaluationCase(NT3, "nt3", 0.35, 280),
    "nt3-large": EvaluationCase(NT3, "nt3", 0.45, 60, space_args={"size": "large"}),
    "residual": EvaluationCase(
        "digits", "nasbench201", 0.6, problem_args={"flat": False}, space_args={"num_cells": 1}
    ),
}
_LEAST_ROWS: Final = 50


def missing_problems(settings: Any) -> dict[str, str]:
    """Returns problems whose data is not here, with the reason."""
    try:
        find_data(FashionMnist.name, IDX_FILES, None, FashionMnist.system_folders)
    except ProblemError as error:
        return {FashionMnist.name: str(error)}
    return {}


def missing_backends(settings: Any) -> dict[str, str]:
    """Returns backends of Keras that are not installed, with what installs them."""
    packages = {"tensorflow": "cpu", "jax": "jax", "torch": "torch"}
    return {
        name: f"it is not installed: pip install 'parsl-tl[{extra}]'"
        for name, extra in packages.items()
        if importlib.util.find_spec(name) is None
    }


@dataclass(frozen=True)
class EvaluationSuite(Suite):
    """Backends x problems, each in a process of its own, in which all modes take turns."""

    name = "evaluation"
    label = "evaluation"
    text = "the steps of an evaluation, with transfer and without, beside Keras' own fit"
    title = "Evaluations"
    small = ("--quick",)
    description = (
        "Trains networks that take over a share of their layers, as a worker of a search does:\n"
        "from scratch, with these layers frozen, and with the outputs of the frozen ones computed\n"
        "once (cut). Beside that, keras: Keras' own fit of the same network. Times are processor\n"
        "seconds, which what else the machine does changes little, and by the clock."
    )
    examples = ("--quick", "--problems nt3 --epochs 5", "--problems fashion-mnist --share 0.6")
    has_tasks = True
    PRESETS: ClassVar[Presets] = {
        "quick": ("digits alone, a quarter of a minute", {"problems": ("digits",), "repeats": 2})
    }

    problems: tuple[str, ...] | None = names_option(
        CASES, missing_problems, "of {} (all whose data is here)"
    )
    backends: tuple[str, ...] | None = names_option(
        ("tensorflow", "jax", "torch"), missing_backends
    )
    modes: tuple[str, ...] | None = names_option(MODES, text="of {} (all)")
    epochs: int | None = option(None, "of each training (the problem's)", least=1)
    share: float | None = option(
        None, "of the layers that come over (0.6; of nt3, all convolutions)", above=0, most=1
    )
    rows: int | None = option(
        None,
        "to train with at most (6000 of fashion-mnist, 280 of nt3, 60 of nt3-large)",
        least=_LEAST_ROWS,
    )
    repeats: int = option(3, "networks of each problem", least=1)
    genes: int = option(60_483, "of the data that is made for nt3", least=1000)
    seed: int = option(0, "of networks and trainings", least=0)
    threads: int | None = option(None, "of each training (as many as cores)", least=1)
    folder: Path | None = option(None, "for stores and made data (the system's temporary one)")
    where: Where = nested(Where(timeout=3600.0), "where it runs")

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``evaluation``, a row for each training, and ``evaluation_starts``."""
        pairs = list(itertools.product(self.problems or (), self.backends or ()))
        training = {} if self.epochs is None else {"epochs": self.epochs}
        tables: Tables = {"evaluation": [], "evaluation_starts": []}
        with temporary_folder(self.folder) as folder, task_runner(self.where) as runner:
            steps = [(f"{problem}, {backend}", (problem, backend)) for problem, backend in pairs]
            for problem, backend in in_steps(progress, steps):
                case = self._case(problem, folder)
                given = (self.modes or (), self.repeats, training, self.seed, self.threads)
                future = runner.submit(
                    measure_case, case, backend, *given, folder / problem, fresh=True
                )
                starts, rows = future.result()
                tables["evaluation_starts"].append({**starts, "problem": problem})
                tables["evaluation"] += [{**row, "problem": problem} for row in rows]
        return tables

    def _case(self, problem: str, folder: Path) -> EvaluationCase:
        case = CASES[problem]
        rows = min((one for one in (self.rows, case.rows) if one is not None), default=None)
        case = replace(case, share=self.share or case.share, rows=rows)
        if case.problem != NT3:
            return case
        data = folder / f"{problem}-data"
        if not data.exists():
            # A fifth of the rows is the part to judge by.
            make_data(NT3, data, round(1.25 * (rows or _LEAST_ROWS)), self.genes, self.seed)
        return replace(case, problem_args={"folder": str(data)})

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns medians of processor seconds by step and mode, and totals beside Keras'."""
        return [
            (f"{problem}, {backend}: processor milliseconds, medians", _table(rows))
            for (problem, backend), rows in frames["evaluation"].groupby(
                ["problem", "backend"], sort=False
            )
        ]

    def remarks(self, frames: Frames) -> list[str]:
        """Returns what a process takes before its first evaluation."""
        return [
            f"{row.problem}, {row.backend}: start {row.start_cpu_sec:.1f} s of processors "
            f"({row.start_sec:.1f} s), data {row.load_cpu_sec:.1f} s ({row.load_sec:.1f} s)"
            for row in frames["evaluation_starts"].itertuples()
        ]

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns the medians of the totals."""
        rows = frames["evaluation"]
        names = rows["problem"] + ", " + rows["backend"]
        frame = rows.assign(name=names).pivot_table(
            "total_cpu_sec", "name", "mode", "median", sort=False
        )
        return [Plot("evaluation", "", frame, "processor seconds, median", "barh", "x", "problem")]


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    by_mode = rows.groupby("mode", sort=False)
    table = by_mode[[f"{step}_cpu_sec" for step in (*STEPS, "total")]].median().mul(1e3)
    table.columns = pd.Index([*STEPS, "total"])
    table["clock"] = by_mode["total_sec"].median() * 1e3
    ours = rows[[f"{step}_cpu_sec" for step in OURS]].sum(axis=1) / rows["total_cpu_sec"]
    table["ours, %"] = 100 * ours.groupby(rows["mode"]).median()
    for mode in (KERAS, "scratch", "frozen"):
        if mode in table.index:
            table[f"of {mode}"] = _ratios(rows, mode)
    found = table.T
    return found.loc[(found != 0).any(axis=1)].rename_axis("step", axis=0)


def _ratios(rows: pd.DataFrame, mode: str) -> pd.Series[float]:
    """Returns medians of how much of another mode's time a mode takes, network by network."""
    times = rows.pivot_table("total_cpu_sec", "repeat", "mode", sort=False)
    return times.div(times[mode], axis=0).median()
