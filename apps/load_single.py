"""How long does reading a few layers take, when a model has many?

    python apps/load_single.py --out runs/load
    python apps/load_single.py --model candle --layers conv_1 conv_2
    python apps/load_single.py --model resnet152 --count 1 10 --share 0.5 --formats store keras
    python apps/load_single.py --files my.keras weights.safetensors --share 0.25

Reads subsets of the layers (by name, by count, by share; counted from the input) from each format
and from the store, and everything beside. Each read opens the file anew, and ends with the arrays
in memory of their own, where they are compared byte for byte.

Cold reads: the files' pages are thrown out of the page cache before, by posix_fadvise, which every
user may, or with --drop-caches for the whole machine, which root may. Whether they are really gone
is asked of the system (mincore), and told. Warm reads follow right after. What fails is a row with
the reason; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from parsl_tl.benchmarks.task_options import (
    add_network_options,
    add_task_options,
    networks_of,
    where_of,
    write_results,
)
from parsl_tl.cli.bench_output import make_console, make_out, show_progress
from parsl_tl.exit_codes import run_program

MODELS = ["dense:250x20", "resnet152"]
FORMATS = ["weights.h5", "keras", "safetensors", "tensorflow", "store"]


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_network_options(parser, MODELS, scale=0.5)
    what = parser.add_argument_group("measurements")
    what.add_argument(
        "--files", nargs="+", type=Path, metavar="FILE", help="read these, and no --model"
    )
    what.add_argument(
        "--formats", nargs="+", default=FORMATS, metavar="NAME", help=f"({' '.join(FORMATS)})"
    )
    what.add_argument("--layers", nargs="+", default=[], metavar="NAME", help="read these layers")
    what.add_argument("--count", nargs="+", type=int, metavar="N", help="read the first N")
    what.add_argument("--share", nargs="+", type=float, metavar="X", help="read this share of them")
    what.add_argument("--repeats", type=int, default=3, metavar="N", help="(%(default)s)")
    what.add_argument(
        "--drop-caches", action="store_true", help="drop all caches of the machine, where permitted"
    )
    what.add_argument("--folder", type=Path, help="of the files (the system's temporary one)")
    add_task_options(parser, "runs/load")
    return parser.parse_args()


def main() -> None:
    """Measures, prints and writes everything."""
    args = parse_args()
    from parsl_tl.benchmarks.core.report import print_table
    from parsl_tl.benchmarks.layer_load_task import Subset
    from parsl_tl.benchmarks.layer_loads import LoadSettings, check, run_load_bench
    from parsl_tl.benchmarks.layer_loads_report import (
        cache_remarks,
        save_load_plots,
        summary_tables,
    )
    from parsl_tl.errors import BenchmarkError

    subsets = [Subset(names=tuple(args.layers))] if args.layers else []
    subsets += [Subset(count=count) for count in args.count or ()]
    subsets += [Subset(share=share) for share in args.share or ()]
    settings = check(
        LoadSettings(
            networks=() if args.files else networks_of(args),
            files=tuple(args.files or ()),
            formats=tuple(args.formats),
            subsets=tuple(subsets) or LoadSettings().subsets,
            repeats=args.repeats,
            system_wide=args.drop_caches,
            folder=args.folder,
            where=where_of(args),
        )
    )
    out = make_out(args.out)
    console = make_console()
    with show_progress(console, "load") as progress:
        rows = run_load_bench(settings, progress)
    for model, table in summary_tables(rows):
        print_table(f"{model}: reading layers, medians", table, console)
    for remark in cache_remarks(rows):
        console.print(remark, markup=False, highlight=False, soft_wrap=True)
    write_results(console, out, {"load_single": [row._asdict() for row in rows]})
    try:
        for path in save_load_plots(rows, out):
            console.print(f"Plot: {path}", markup=False, highlight=False, soft_wrap=True)
    except BenchmarkError as error:  # matplotlib is not there
        console.print(str(error), markup=False)
    sys.exit(0 if all(row.successful for row in rows) else 1)


if __name__ == "__main__":
    sys.exit(run_program(main))
