"""Where a search over several sites saturates: driver, network or store, in simulated time.

Discrete events with the router's own decisions. What an evaluation costs those who serve all of
them is given by options, whose defaults are estimates, but for the driver's: measure yours with
apps/bench_search.py (driver) and parsl-tl bench remote (store).

python apps/simulate_sites.py
python apps/simulate_sites.py --workers 4000 3000 2000 1000 --speeds 1 1.2 0.8 2 --servers 8
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from parsl_tl.arguments import ArgumentParser, positive_float, positive_int
from parsl_tl.exit_codes import run_program
from parsl_tl.federation.simulation import Costs, SimulatedSite, simulate
from parsl_tl.reporting.console import make_console, make_out, print_files, show_progress
from parsl_tl.reporting.files import write_table
from parsl_tl.reporting.frame_plots import Plot, save_plots
from parsl_tl.reporting.tables import print_table


def rows_of(
    args: argparse.Namespace, progress: Callable[[float, str], None]
) -> list[dict[str, object]]:
    """Simulates each number of seconds an evaluation, with durations that vary by a third."""
    total = sum(args.workers)
    sites = [
        SimulatedSite(f"site {number}", workers, speed, delay=args.delay_ms / 1e3)
        for number, (workers, speed) in enumerate(zip(args.workers, args.speeds, strict=True), 1)
    ]
    costs = Costs(
        driver=args.driver_ms / 1e3,
        store=args.store_ms / 1e3,
        servers=args.servers,
        bandwidth=args.gigabytes * 1e9,
        bytes=args.megabytes * 1e6,
    )
    rows = []
    for number, seconds in enumerate(args.seconds):
        progress(number / len(args.seconds), f"{seconds:g} s an evaluation")
        random = np.random.default_rng(args.seed)
        work = random.gamma(9.0, seconds / 9.0, args.rounds * total)
        found = simulate(sites, work.tolist(), costs=costs)
        rows.append(
            {
                "seconds": seconds,
                "workers": total,
                "evaluations_per_second": len(work) / found.seconds,
                "utilization": found.utilization,
                "driver": found.driver,
                "store": found.store,
                "network": found.network,
            }
        )
    return rows


def main() -> int:
    """Simulates, prints a table, writes it and a plot."""
    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=positive_int, nargs="+", default=[4000, 3000, 2000, 1000])
    parser.add_argument("--speeds", type=positive_float, nargs="+", default=[1.0, 1.2, 0.8, 2.0])
    parser.add_argument(
        "--seconds",
        type=positive_float,
        nargs="+",
        default=[3.0, 10.0, 30.0, 100.0, 300.0],
        help="of an evaluation at a site of speed 1",
    )
    parser.add_argument("--rounds", type=positive_int, default=6, help="evaluations per worker")
    parser.add_argument("--driver-ms", type=positive_float, default=2.5, help="of the driver, each")
    parser.add_argument("--store-ms", type=positive_float, default=8.0, help="of a server, each")
    parser.add_argument("--servers", type=positive_int, default=8, help="of the model store")
    parser.add_argument("--megabytes", type=positive_float, default=10.0, help="moved by each")
    parser.add_argument("--gigabytes", type=positive_float, default=10.0, help="a second, at most")
    parser.add_argument("--delay-ms", type=positive_float, default=30.0, help="of a message")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/simulated-sites"))
    args = parser.parse_args()
    if len(args.workers) != len(args.speeds):
        parser.error(f"{len(args.workers)} sites have {len(args.speeds)} speeds; give one each")
    console, out = make_console(), make_out(args.out)
    with show_progress(console, "simulating") as progress:
        frame = pd.DataFrame(rows_of(args, progress))
    print_table("Shares of the time, and of the workers' time", frame.round(3), console)
    shares = frame.set_index("seconds")[["utilization", "driver", "store", "network"]]
    plot = Plot("saturation", "", shares, "share of the time", "line", "x", "seconds an evaluation")
    print_files(console, [*write_table(frame, out, "saturation"), *save_plots([plot], out)])
    return 0


if __name__ == "__main__":
    sys.exit(run_program(main))
