"""Is the store worth it here? Every transfer method, with the same models, from many workers.

    python apps/bench_transfer.py --out bench/transfer
    python apps/bench_transfer.py --method dense-skip --workers 4 --folder /lustre/me
    python apps/bench_transfer.py --config polaris --workers 8 --folder /lustre/me \
        --redis-url redis://10.0.0.1:6379/0 --store "ofi+cxi://... ofi+cxi://..."

Workers build models that share most of their layers, and do with each what an evaluation does,
without training: name its layers, find a donor and take over its weights, store what is new. Then
transfers are due at fixed rates, to see where each method stops keeping up. Rows go to timings.csv
and .parquet (one per model), rates.csv and .parquet, and two plots.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from parsl_tl.benchmarks.core.task_runner import Where
from parsl_tl.benchmarks.transfer import (
    METHODS,
    TransferSettings,
    check,
    missing_methods,
    run_transfer_bench,
)
from parsl_tl.benchmarks.transfer_models import KINDS, ModelFamily
from parsl_tl.cli.bench_output import make_console, make_out, show_progress
from parsl_tl.exit_codes import run_program


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench/transfer"), help="results")
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--transfer", nargs="+", metavar="NAME", help="methods (all that are installed)"
    )
    what.add_argument("--n-iter", type=int, default=10, help="models per worker (10)")
    what.add_argument("--donors", type=int, default=5, help="models that are there before (5)")
    what.add_argument(
        "--rates",
        type=float,
        nargs="*",
        default=[2, 5, 10, 20, 50, 100],
        help="transfers per second, of all workers together (2 5 10 20 50 100)",
    )
    what.add_argument("--rate-seconds", type=float, default=5, help="for each rate (5)")
    models = parser.add_argument_group("models")
    models.add_argument("--method", choices=KINDS, default="small", help="how models are made")
    models.add_argument(
        "--max-layer-size", type=int, default=3_200_000, help="bytes of a layer (3200000)"
    )
    models.add_argument("--max-layers", type=int, default=20, help="layers with weights (20)")
    models.add_argument(
        "--layers-scale-factor", type=float, default=1.0, help="multiplies all widths (1)"
    )
    models.add_argument("--shared", type=float, default=0.9, help="share of common layers (0.9)")
    models.add_argument("--seed", type=int, default=0, help="of what is random (0)")
    where = parser.add_argument_group("where")
    where.add_argument("--workers", type=int, default=2, help="tasks at once (2)")
    where.add_argument("--folder", type=Path, help="for files and the store (system's temporary)")
    where.add_argument("--store", help="addresses of a store's servers (default: in the folder)")
    where.add_argument("--redis-url", help="of a Redis server (default: started here)")
    where.add_argument("--config", help="run as Parsl tasks on this executor configuration")
    where.add_argument("--timeout", type=float, default=600, help="seconds for a task (600)")
    return parser.parse_args()


def settings_of(args: argparse.Namespace) -> TransferSettings:
    """Makes the settings that the command line stands for.

    Raises:
        ParslTLError: they cannot be measured.
    """
    family = ModelFamily(
        args.method,
        args.max_layer_size,
        args.max_layers,
        args.layers_scale_factor,
        args.shared,
        args.seed,
    )
    missing = missing_methods(args.redis_url)
    return check(
        TransferSettings(
            methods=tuple(args.transfer or (name for name in METHODS if name not in missing)),
            family=family,
            n_iter=args.n_iter,
            workers=args.workers,
            donors=args.donors,
            rates=tuple(args.rates),
            rate_seconds=args.rate_seconds,
            folder=args.folder,
            store_uri=args.store,
            redis_url=args.redis_url,
            where=Where(
                args.config,
                args.workers if args.config else None,
                args.timeout,
                args.out / "parsl",
            ),
        )
    )


def main() -> int:
    """Measures, shows tables and writes everything; returns the exit code."""
    args = parse_args()
    settings = settings_of(args)
    out = make_out(args.out)
    console = make_console()
    for method in sorted({*METHODS} - {*settings.methods} if args.transfer is None else ()):
        console.print(f"without {method}: {missing_methods(args.redis_url)[method]}", markup=False)
    with show_progress(console, "transfer") as progress:
        rows = run_transfer_bench(settings, progress)

    # Imported here: they are not needed for --help.
    from parsl_tl.benchmarks.core.report import print_table, write_machine_facts, write_rows
    from parsl_tl.benchmarks.transfer_report import (
        against_store,
        counts_table,
        rate_table,
        save_plots,
        summary,
        times_table,
    )

    written = write_rows([row._asdict() for row in rows.transfers], out, "timings")
    if rows.rates:
        written += write_rows([row._asdict() for row in rows.rates], out, "rates")
    table = summary(rows)
    print_table("Milliseconds per model, median", times_table(table), console)
    print_table("Models, and MB of each", counts_table(table), console)
    print_table(
        "How many times faster the store is, and its share of the bytes",
        against_store(table),
        console,
    )
    if rows.rates:
        print_table("At fixed rates", rate_table(rows), console)
    names = [path.name for path in (*written, write_machine_facts(out), *save_plots(rows, out))]
    console.print(f"{out}: {', '.join(names)}", markup=False)
    failed = {row.failure for row in rows.transfers if row.failure}
    for reason in sorted(failed):
        console.print(f"failed: {reason}", markup=False, soft_wrap=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_program(main))
