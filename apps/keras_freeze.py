"""Freezing and unfreezing layers in Keras 3: a tutorial that proves what it says.

    python apps/keras_freeze.py
    python apps/keras_freeze.py --layers 12 --units 1024 --out runs/freeze
    python apps/keras_freeze.py --config local

Transfer learning takes layers over from another model and freezes them. The lessons show what that
does to the trainable weights, to compiled models, to the optimizer, to BatchNormalization, to
files, and to the time of a training step. Each statement is checked as it is made; the exit code
is 1 if one does not hold with the installed versions. The lessons are short functions to read and
copy from: parsl_tl/benchmarks/freezing.py and freezing_steps.py.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from typing import TYPE_CHECKING

from parsl_tl.benchmarks.task_options import add_task_options, where_of, write_results
from parsl_tl.cli.bench_output import make_console, make_out, show_progress
from parsl_tl.exit_codes import run_program

if TYPE_CHECKING:
    from rich.console import Console

    from parsl_tl.benchmarks.freezing import Check


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("the network whose steps are measured")
    what.add_argument("--layers", type=int, default=8, metavar="N", help="(%(default)s)")
    what.add_argument("--units", type=int, default=512, metavar="N", help="(%(default)s)")
    what.add_argument("--batch", type=int, default=256, metavar="N", help="(%(default)s)")
    what.add_argument("--repeats", type=int, default=20, metavar="N", help="steps (%(default)s)")
    add_task_options(parser, "runs/freeze")
    return parser.parse_args()


def print_lesson(console: Console, text: str, checks: list[Check]) -> None:
    """Prints a lesson's text, and below it each statement with what was seen."""
    title, _, body = inspect.cleandoc(text).partition("\n\n")
    body = body.partition("\n\nArgs:")[0]
    console.print(f"\n[bold]{title}[/bold]\n")
    console.print(f"{body}\n", markup=False, highlight=False)
    for check in checks:
        mark = "[green]yes[/green]" if check.holds else "[red]NO [/red]"
        console.print(f"  {mark} ", end="", highlight=False)
        seen = f": {check.seen}" if check.seen else ""
        console.print(check.statement + seen, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Runs the lessons, prints and writes what was seen."""
    args = parse_args()
    from parsl_tl.benchmarks.core.report import print_table
    from parsl_tl.benchmarks.freezing import LESSONS, FreezeSettings, check, run_lessons
    from parsl_tl.benchmarks.freezing_steps import (
        StepSettings,
        measure_steps,
        save_step_plot,
        step_table,
    )
    from parsl_tl.errors import BenchmarkError

    steps = StepSettings(args.layers, args.units, args.batch, args.repeats)
    settings = check(FreezeSettings(steps, where_of(args)))
    out = make_out(args.out)
    console = make_console()
    with show_progress(console, "lessons") as progress:
        results = run_lessons(settings, progress)
    texts = {lesson.__name__: lesson.__doc__ or "" for lesson in LESSONS}
    texts["lesson_8_step_time"] = measure_steps.__doc__ or ""
    for name, text in texts.items():
        print_lesson(console, text, [found for found in results.checks if found.lesson == name])
    console.print()
    if results.steps:
        print_table("One training step", step_table(results.steps), console)
    write_results(
        console,
        out,
        {
            "freeze_checks": [found._asdict() for found in results.checks],
            "freeze_steps": [row._asdict() for row in results.steps],
        },
    )
    try:
        if results.steps:
            path = save_step_plot(results.steps, out)
            console.print(f"Plot: {path}", markup=False, highlight=False, soft_wrap=True)
    except BenchmarkError as error:  # matplotlib is not there
        console.print(str(error), markup=False)
    sys.exit(0 if all(found.holds for found in results.checks) else 1)


if __name__ == "__main__":
    sys.exit(run_program(main))
