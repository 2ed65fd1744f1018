"""``parsl-tl bench store``: how fast a store writes and reads models, beside other ways."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.cli.bench_output import Progress, make_console, make_out, show_progress
from parsl_tl.errors import BenchmarkError

if TYPE_CHECKING:
    from parsl_tl.benchmarks.store import StoreSettings

_METHODS = ("memcpy", "plain", "hdf5", "safetensors", "redis", "store")
_EXAMPLES = """\
examples:
  parsl-tl bench store --quick
  parsl-tl bench store --sizes 64 256 --processes 1 --folders /dev/shm /scratch --out bench/store
"""


def add_store_bench(subparsers: Any) -> None:
    """Adds ``store`` to the actions of ``parsl-tl bench``."""
    parser = subparsers.add_parser(
        "store",
        help="writing and reading models, beside files, HDF5, safetensors, Redis",
        description=(
            "Writes and reads models, whole and a tenth of their layers, with the store and\n"
            "with other ways; then stores 1,000 evolved models. Takes some minutes."
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", default="bench/store", metavar="FOLDER", help="results (default: bench/store)"
    )
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--quick", action="store_true", help="small models only, half a minute")
    much.add_argument("--full", action="store_true", help="all sizes with all numbers of layers")
    parser.add_argument(
        "--sizes", nargs="+", type=float, metavar="MB", help="per model (default: 1 16 64 256)"
    )
    parser.add_argument(
        "--layers", nargs="+", type=int, metavar="N", help="layers per model (default: 20)"
    )
    parser.add_argument(
        "--processes", nargs="+", type=int, metavar="N", help="at once (default: 1 4)"
    )
    parser.add_argument(
        "--folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="where temporary folders go, one on tmpfs and one on a disk (default: /dev/shm .)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=_METHODS,
        metavar="METHOD",
        help=f"of {', '.join(_METHODS)} (default: all that are installed)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: 0)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from parsl_tl.benchmarks.core.report import print_table, write_machine_facts, write_rows
    from parsl_tl.benchmarks.store import check, missing_methods, run_store_bench
    from parsl_tl.benchmarks.store_report import save_plots, storage_table, summary_tables

    console = make_console()
    # Before anything takes time: a wrong value, or a folder for results that cannot be.
    settings = check(_settings(args))
    out = make_out(Path(args.out))
    if args.methods is None:
        for method, reason in missing_methods().items():
            console.print(f"without {method}: {reason}", markup=False)
    with show_progress(console, "bandwidth") as progress:
        rows = run_store_bench(settings, progress)
    with show_progress(console, "storage") as progress:
        storage = _measure_storage(settings, args.quick, progress)
    write_rows(rows, out, "store")
    write_rows(storage, out, "storage")
    write_machine_facts(out)
    for title, table in summary_tables(rows):
        print_table(title, table, console)
    print_table(
        "evolved models, frozen prefixes: millions of bytes", storage_table(storage), console
    )
    try:
        plots = save_plots(rows, out)
    except BenchmarkError as error:
        plots = []
        console.print(str(error), markup=False)
    console.print(
        f"{out}: store.csv, store.parquet, storage.csv, storage.parquet, machine.json, "
        f"{len(plots)} plots",
        markup=False,
    )
    return 0


def _settings(args: argparse.Namespace) -> StoreSettings:
    from parsl_tl.benchmarks.store import StoreSettings

    settings = StoreSettings()
    if args.quick or args.full:
        settings = StoreSettings.quick() if args.quick else StoreSettings.full()
    given: dict[str, Any] = {
        name: tuple(values)
        for name in ("sizes", "layers", "processes", "folders", "methods")
        if (values := getattr(args, name)) is not None
    }
    return replace(settings, seed=args.seed, **given)


def _measure_storage(
    settings: StoreSettings, quick: bool, progress: Progress
) -> list[dict[str, Any]]:
    from parsl_tl.benchmarks.store import temporary_folder
    from parsl_tl.benchmarks.store_storage import measure_storage

    num_models, factors = (200, (1,)) if quick else (1000, (1, 2))
    rows = []
    for done, factor in enumerate(factors):
        text = f"{num_models:,} models, {16 * factor} to {96 * factor} units"
        progress(done / len(factors), text)
        with temporary_folder(settings.folders[0]) as folder:
            rows.append(measure_storage(folder, num_models, settings.seed, factor))
    progress(1.0, "done")
    return rows
