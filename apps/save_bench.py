"""How long do saving and loading whole models take? What comes back is compared byte for byte.

    python apps/save_bench.py --out runs/save
    python apps/save_bench.py --model candle --scale 1 --formats keras --repeats 10
    python apps/save_bench.py --config polaris --folder /eagle/me --sync

The networks of CANDLE's NT3 benchmark and ResNet-152, or others. A .keras file holds the
architecture, too, and is loaded as a new model; weights alone are loaded into a model that is
there. Files are read just after they were written, so they come from memory: load_single.py
measures cold reads. What fails is a row with the reason as its status; the exit code is then 1.
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

FORMATS = ["keras", "weights.h5", "safetensors", "tensorflow"]


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_network_options(parser, ["candle", "resnet"], scale=0.5)
    what = parser.add_argument_group("measurements")
    what.add_argument(
        "--formats", nargs="+", default=FORMATS, metavar="NAME", help=f"({' '.join(FORMATS)})"
    )
    what.add_argument("--repeats", type=int, default=3, metavar="N", help="(%(default)s)")
    what.add_argument("--sync", action="store_true", help="saving ends with an fsync")
    what.add_argument("--folder", type=Path, help="of the files (the system's temporary one)")
    add_task_options(parser, "runs/save")
    return parser.parse_args()


def main() -> None:
    """Measures, prints and writes everything."""
    args = parse_args()
    from parsl_tl.benchmarks.core.report import print_table
    from parsl_tl.benchmarks.save_load import OK, SaveLoadSettings, check, run_save_load_bench
    from parsl_tl.benchmarks.save_load_report import save_times_plot, summary_table
    from parsl_tl.errors import BenchmarkError

    settings = check(
        SaveLoadSettings(
            networks=networks_of(args),
            formats=tuple(args.formats),
            repeats=args.repeats,
            synced=args.sync,
            folder=args.folder,
            where=where_of(args),
        )
    )
    out = make_out(args.out)
    console = make_console()
    with show_progress(console, "save and load") as progress:
        rows = run_save_load_bench(settings, progress)
    how = "fsync included" if args.sync else "not synced"
    print_table(f"Whole models, medians; saving {how}", summary_table(rows), console)
    write_results(console, out, {"save_load": [row._asdict() for row in rows]})
    try:
        path = save_times_plot(rows, out)
        if path is not None:
            console.print(f"Plot: {path}", markup=False, highlight=False, soft_wrap=True)
    except BenchmarkError as error:  # matplotlib is not there
        console.print(str(error), markup=False)
    sys.exit(0 if all(row.status == OK for row in rows) else 1)


if __name__ == "__main__":
    sys.exit(run_program(main))
