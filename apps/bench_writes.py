r"""How long does saving a model take, from many processes at once?

    python apps/bench_writes.py --out runs/writes
    python apps/bench_writes.py --scale 1 --num-procs 1 2 4 --synced --folder /scratch
    python apps/bench_writes.py --config polaris --num-procs 64 --synced --memory --folder /eagle/me
    python apps/bench_writes.py --model resnet152 dense:500x20 my.keras --formats keras safetensors

Saves the network of CANDLE's NT3 benchmark (or others) in file formats and by transfer methods.
With --num-changes K, all layers with weights but the first K differ from a model that was stored
before: file formats write the whole model all the same, a store only what changed. There are three
measurements:

--with-setup  to a file system. The time starts before the processes do, and includes loading the
              framework, setting up the GPU and building the model; nothing is synced.
--synced      to a file system. All processes start together when they are ready; each ends with
              an fsync of what it wrote. (Redis does that itself, in its append-only log.)
--memory      the same into a file system in memory, and into Redis without its log.

Without one of them, the last two are made. time_sec is from the start to the end of the last
process, by one clock. Only bytes that were written count for the bandwidth. What fails is a row
with successful=False and the reason; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
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


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_argument_group("measurements")
    for name, text in (
        ("with set-up", "set-up included, no sync"),
        ("synced", "set-up excluded, fsync"),
        ("memory", "set-up excluded, in memory"),
    ):
        option = "--" + name.replace("set-up", "setup").replace(" ", "-")
        what.add_argument(option, action="append_const", dest="measurements", const=name, help=text)
    what.add_argument("--num-procs", type=int, nargs="+", default=[2], metavar="N")
    what.add_argument("--num-changes", type=int, nargs="+", default=[0, 3], metavar="K")
    what.add_argument(
        "--formats",
        nargs="+",
        metavar="NAME",
        default=[],
        help="weights.h5, keras, safetensors, tensorflow, transfer:<method> (all)",
    )
    what.add_argument("--repeats", type=int, default=1, metavar="N")
    add_network_options(parser, ["candle"], scale=0.5)
    places = parser.add_argument_group("places")
    places.add_argument("--folder", type=Path, help="on a file system (the system's temporary one)")
    places.add_argument("--memory-folder", type=Path, default=Path("/dev/shm"), metavar="FOLDER")
    places.add_argument(
        "--store", metavar="URI", help="servers for transfer:store (a store in the folder)"
    )
    places.add_argument(
        "--redis-url", metavar="URL", help="a server for transfer:redis (one is started)"
    )
    add_task_options(parser, "runs/writes")
    return parser.parse_args()


def main() -> None:
    """Measures, prints and writes everything."""
    args = parse_args()
    from parsl_tl.benchmarks.core.report import print_table
    from parsl_tl.benchmarks.writes import WriteSettings, check, run_write_bench
    from parsl_tl.benchmarks.writes_report import (
        measurement_rows,
        save_time_plots,
        summary_tables,
    )
    from parsl_tl.errors import BenchmarkError

    settings = WriteSettings(
        networks=networks_of(args),
        num_procs=tuple(args.num_procs),
        num_changes=tuple(args.num_changes),
        formats=tuple(args.formats),
        repeats=args.repeats,
        folder=args.folder,
        memory_folder=args.memory_folder,
        store_uri=args.store,
        redis_url=args.redis_url,
        where=where_of(args),
    )
    if args.measurements:
        settings = replace(settings, measurements=tuple(dict.fromkeys(args.measurements)))
    check(settings)
    out = make_out(args.out)
    console = make_console()
    with show_progress(console, "writes") as progress:
        results = run_write_bench(settings, progress)
    for title, table in summary_tables(results.measurements):
        print_table(title, table, console)
    write_results(
        console,
        out,
        {
            "writes": measurement_rows(results.measurements),
            "write_tasks": [row._asdict() for row in results.tasks],
        },
    )
    try:
        for path in save_time_plots(results.measurements, out):
            console.print(f"Plot: {path}", markup=False, highlight=False, soft_wrap=True)
    except BenchmarkError as error:  # matplotlib is not there
        console.print(str(error), markup=False)
    sys.exit(0 if all(row.successful for row in results.measurements) else 1)


if __name__ == "__main__":
    sys.exit(run_program(main))
