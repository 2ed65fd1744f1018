"""``parsl-tl generate``: a population of architectures, as Parsl tasks."""

from __future__ import annotations

import argparse
import time
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import closing
from typing import TYPE_CHECKING, Any

from parsl_tl.cli.config_options import add_config_options, config_of
from parsl_tl.cli.population_options import add_population_options, population_task
from parsl_tl.errors import ParslTLError, PopulationError
from parsl_tl.reporting.console import make_console, show_progress
from parsl_tl.reporting.sizes import counted, show_bytes
from parsl_tl.stop_signals import stopping_in_order

if TYPE_CHECKING:
    from rich.console import Console

    from parsl_tl.tasks import PopulationFutures

_EXAMPLES = """\
examples:
  parsl-tl generate --population-size 60000 --output-dir populations/random
  parsl-tl generate --population-size 60000 --space seq --format arrow --output-dir populations/seq
  parsl-tl generate --initial-population-dir populations/random --evolve-count 10000 \\
      --output-dir populations/evolved
"""


def add_generate_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    parser = subparsers.add_parser(
        "generate",
        help="generate populations of many thousand architectures, or evolve them",
        description="Generates random architectures of a search space, or changes members of an\n"
        "earlier population, as Parsl tasks. Seed and size decide what comes out; the number of\n"
        "workers does not. Writes models_<part>.json (one Keras JSON per line),\n"
        "population_<part>.parquet (one row per model) and metadata_<part>.json (sequences).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_population_options(parser, evolves=True)
    where = parser.add_argument_group("where")
    add_config_options(where)
    where.add_argument(
        "--parts", type=int, help="tasks, and files (default: one for every 5,000 models)"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    with stopping_in_order():
        return _generate(args)


def _generate(args: argparse.Namespace) -> int:
    # Imported here: Parsl takes a second, which --help need not.
    from parsl_tl.configuration import load_config
    from parsl_tl.executor_watch import ExecutorWatch
    from parsl_tl.parsl_kernel import parsl_kernel
    from parsl_tl.population.folder import remove_unfinished
    from parsl_tl.population.redraws import redraws_text
    from parsl_tl.tasks import population_futures

    if args.parts is not None and args.parts < 1:
        raise PopulationError(f"--parts {args.parts} must be at least 1")
    task = population_task(args)
    # Workers may stand in another folder.
    task = task._replace(folder=task.folder.resolve())
    if task.initial_folder is not None:
        task = task._replace(initial_folder=task.initial_folder.resolve())
    console = make_console()
    size = task.description.size
    console.print(
        f"{counted(size, 'model')} of {task.description.space} on config {args.config}, "
        f"in {task.folder}",
        highlight=False,
        soft_wrap=True,
    )
    config = load_config(config_of(args), max_workers=args.workers)
    config.run_dir = str(task.folder / "parsl")
    start = time.perf_counter()
    try:
        with parsl_kernel(config) as kernel, closing(ExecutorWatch(kernel.executors)):
            futures = population_futures(task, args.parts, kernel=kernel)
            _follow(futures, size, console)
            reports = futures.whole.result()
    finally:
        # Workers that were ended in the middle have not cleaned up.
        remove_unfinished(task.folder)
    seconds = time.perf_counter() - start
    busy = sum(report.seconds for report in reports)
    written = show_bytes(sum(report.bytes for report in reports))
    console.print(
        f"{counted(size, 'model')} in {seconds:.1f} s, start of the workers included; "
        f"{size / busy:,.0f} models/s in a worker; {written} in {counted(len(reports), 'part')}",
        highlight=False,
        soft_wrap=True,
    )
    if text := redraws_text(report.redrawn for report in reports):
        console.print(text, highlight=False, soft_wrap=True)
    return 0


def _follow(futures: PopulationFutures, size: int, console: Console) -> None:
    """Shows how far it is until all parts are there.

    Raises:
        PopulationError: a part failed.
    """
    done = 0
    waiting = set(futures.parts)
    with show_progress(console, "models") as progress:
        progress(0.0, "starting workers")
        while waiting:
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                error = future.exception()
                if isinstance(error, ParslTLError):
                    raise error
                if error is not None:
                    raise PopulationError(
                        f"a part was not written: {type(error).__name__}: {error}"
                    ) from error
                done += future.result().models
            progress(done / size, f"{done:,} written")
