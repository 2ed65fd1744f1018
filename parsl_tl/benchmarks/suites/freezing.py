"""The tutorial on freezing as a benchmark: all lessons, and the time of a training step."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import Final

from parsl_tl.benchmarks.core.options import nested
from parsl_tl.benchmarks.core.suite import Frames, Progress, Suite, Tables, silent
from parsl_tl.benchmarks.core.task_runner import Where, run_each
from parsl_tl.benchmarks.suites.freezing_lessons import LESSONS, Check
from parsl_tl.benchmarks.suites.freezing_steps import (
    LAST_LESSON,
    StepRow,
    StepSettings,
    check_steps,
    measure_steps,
    plots,
    summary,
)


@dataclass(frozen=True)
class FreezeSettings:
    """What is run."""

    steps: StepSettings = nested(StepSettings(), "the network whose steps are measured")
    where: Where = nested(Where(), "where it runs")


def measure(settings: FreezeSettings, progress: Progress = silent) -> Tables:
    """Runs all lessons, each as a task; one that fails becomes a check that does not hold.

    Returns:
        ``freeze_checks``: see ``Check``; ``freeze_steps``: see ``StepRow``.
    """
    tasks = [*LESSONS, partial(measure_steps, settings.steps)]
    names = [*(lesson.__name__ for lesson in LESSONS), LAST_LESSON]
    calls = [(name.replace("_", " "), task, ()) for name, task in zip(names, tasks, strict=True)]
    checks: list[Check] = []
    steps: list[StepRow] = []
    for name, result in zip(names, run_each(settings.where, calls, progress), strict=True):
        if isinstance(result, str):
            checks.append(Check(name, "the lesson runs to its end", False, result))
        elif name == LAST_LESSON:
            steps = result
            checks += check_steps(steps)
        else:
            checks += result
    return {
        "freeze_checks": [found._asdict() for found in checks],
        "freeze_steps": [row._asdict() for row in steps],
    }


def remarks(frames: Frames) -> list[str]:
    """Returns each lesson's text, and below it each statement with what was seen."""
    texts = {lesson.__name__: lesson.__doc__ or "" for lesson in LESSONS}
    texts[LAST_LESSON] = measure_steps.__doc__ or ""
    lines = []
    for name, checks in frames["freeze_checks"].groupby("lesson", sort=False):
        title, _, body = inspect.cleandoc(texts[str(name)]).partition("\n\n")
        lines += ["", title, "=" * len(title), "", body.partition("\n\nArgs:")[0], ""]
        for found in checks.itertuples():
            seen = f": {found.seen}" if found.seen else ""
            lines.append(f"  {'yes' if found.holds else 'NO '} {found.statement}{seen}")
    return lines


def failures(frames: Frames) -> list[str]:
    """Returns the statements that do not hold."""
    checks = frames["freeze_checks"]
    return list(checks.statement[~checks.holds])


SUITE: Final = Suite(
    name="freeze",
    label="lessons",
    text="freezing and unfreezing layers in Keras 3, lesson by lesson",
    default=FreezeSettings(),
    check=lambda settings: settings,
    measure=measure,
    summary=summary,
    plots=plots,
    remarks=remarks,
    failures=failures,
    out="runs/freeze",
)
