"""``parsl-tl bench generate``: how fast populations are generated, beside Keras."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from parsl_tl.cli.bench_output import make_console, make_out, show_progress
from parsl_tl.errors import BenchmarkError

_EXAMPLES = """\
examples:
  parsl-tl bench generate --quick
  parsl-tl bench generate --size 60000 --spaces skip --folder /dev/shm
"""


def add_generate_bench(subparsers: Any) -> None:
    """Adds ``generate`` to the actions of ``parsl-tl bench``."""
    parser = subparsers.add_parser(
        "generate",
        help="generating populations, beside building each model with Keras",
        description=(
            "Generates populations in one process, as Keras JSON and as tables, and builds some\n"
            "of the models with Keras. Tells how much the process's memory grows, too."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        default="bench/generate",
        metavar="FOLDER",
        help="results (default: bench/generate)",
    )
    parser.add_argument("--quick", action="store_true", help="4,000 models, half a minute")
    parser.add_argument("--size", type=int, metavar="N", help="models (default: 60000)")
    parser.add_argument(
        "--keras-models",
        type=int,
        metavar="N",
        help="models that are built with Keras, and graph by graph (default: 100)",
    )
    parser.add_argument(
        "--spaces", nargs="+", metavar="SPACE", help="skip, seq, or others (default: skip seq)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="where temporary files go, 40 kB per model (default: the system's)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the models (default: 0)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from parsl_tl.benchmarks.core.report import print_table, write_machine_facts, write_rows
    from parsl_tl.benchmarks.generate import GenerateSettings, check, run_generate_bench
    from parsl_tl.benchmarks.generate_report import save_rates_plot, summary_table

    console = make_console()
    settings = GenerateSettings(4_000, 20) if args.quick else GenerateSettings()
    given = {
        name: getattr(args, name)
        for name in ("size", "keras_models", "folder")
        if getattr(args, name) is not None
    }
    if args.spaces:
        given["spaces"] = tuple(args.spaces)
    settings = check(replace(settings, seed=args.seed, **given))
    out = make_out(Path(args.out))
    with show_progress(console, "generate") as progress:
        rows = run_generate_bench(settings, progress)
    written = [path.name for path in write_rows([row._asdict() for row in rows], out, "generate")]
    written.append(write_machine_facts(out).name)
    print_table("Models generated, one process", summary_table(rows), console)
    try:
        written.append(save_rates_plot(rows, out).name)
    except BenchmarkError as error:
        console.print(str(error), markup=False)
    console.print(f"{out}: {', '.join(written)}", markup=False)
    return 0
