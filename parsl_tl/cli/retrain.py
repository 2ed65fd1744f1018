"""``parsl-tl retrain`` and ``parsl-tl evaluate``: what comes after a search."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.arguments import positive_int
from parsl_tl.cli.config_options import add_config_options, config_of
from parsl_tl.cli.name_values import parse_pairs
from parsl_tl.cli.search_options import add_hardware_options, add_pairs
from parsl_tl.reporting.sizes import counted
from parsl_tl.stop_signals import stopping_in_order

if TYPE_CHECKING:
    from parsl_tl.search.retraining import Retraining

_COLUMNS = ("model_id", "start", "seed", "found", "objective", "best_epoch", "seconds_train")


def add_retrain_commands(subparsers: Any) -> None:
    """Adds both commands to the program's parser."""
    retrain = subparsers.add_parser(
        "retrain",
        help="train the best models of a search fully, from inherited weights and from scratch",
        description="Train the best models of a search fully, all layers, as Parsl tasks: from "
        "the weights that the search left and from new ones, side by side. Writes retrain.csv, "
        "retrain_curves.csv and their .parquet, and retrain.png. A run that was interrupted "
        "is carried on by the same command.",
    )
    _add_common(retrain)
    retrain.add_argument("--epochs", type=positive_int, default=50, help="epochs at most (50)")
    retrain.add_argument(
        "--start",
        action="append",
        choices=("inherited", "scratch"),
        help="where to start from; repeatable (default: both)",
    )
    retrain.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="one training for each (0)"
    )
    add_hardware_options(retrain)
    add_pairs(
        retrain, "--train", "another training option than the search's, such as batch_size=256"
    )
    retrain.add_argument("--save", action="store_true", help="write each model as a .keras file")
    retrain.set_defaults(run=_retrain)

    evaluate = subparsers.add_parser(
        "evaluate",
        help="score the best models of a search on the test part of the data",
        description="Score the best models of a search, as the search left them, on the samples "
        "that no search sees. Writes evaluate.csv and evaluate.parquet.",
    )
    _add_common(evaluate)
    evaluate.set_defaults(run=_evaluate)


def _add_common(parser: Any) -> None:
    parser.add_argument("campaign", metavar="RUN", type=Path, help="the campaign's folder")
    parser.add_argument("--top", type=positive_int, default=5, help="how many of the best (5)")
    add_config_options(parser)
    parser.add_argument("--out", type=Path, help="folder of the results (default: in RUN)")


def _retrain(args: argparse.Namespace) -> int:
    from parsl_tl.reporting.console import make_console, print_files, show_progress
    from parsl_tl.reporting.files import prepare_folder, write_table
    from parsl_tl.reporting.tables import print_table
    from parsl_tl.search.retraining import Retraining
    from parsl_tl.training.retrain import STARTS

    console = make_console()
    hardware = {
        name: getattr(args, name) for name in ("dtype_policy", "jit_compile", "batch_growth")
    }
    given = {name: value for name, value in hardware.items() if value is not None}
    work = Retraining(
        args.campaign,
        args.out,
        top=args.top,
        epochs=args.epochs,
        starts=args.start or STARTS,
        seeds=args.seeds,
        save=args.save,
        training=given | parse_pairs(args.train),
    )
    prepare_folder(work.folder)
    with stopping_in_order(), show_progress(console, "trained") as show:

        def done(row: Mapping[str, Any]) -> None:
            value = row.get("error") or f"{row['objective']:.4f}"
            show(len(work.rows) / work.total, f"{row['model_id']} {row['start']}: {value}")

        frame = work.run(config_of(args), max_workers=args.workers, done=done)
    tests = [name for name in frame if str(name).startswith("test_")]
    shown = [name for name in (*_COLUMNS, *tests) if name in frame]
    print_table(f"Trained for {counted(args.epochs, 'epoch')} at most", frame[shown], console)
    speedups = work.speedups()
    files = [
        *write_table(frame, work.folder, "retrain"),
        *write_table(work.curves, work.folder, "retrain_curves"),
    ]
    if not speedups.empty:
        compared = speedups.rename(columns=lambda name: name.replace("_", " "))
        print_table("Until both starts had reached the same value", compared, console)
        median = speedups["times_faster"].median()
        console.print(f"Inherited weights got there {median:.2f} times as fast (median).")
        files += write_table(speedups, work.folder, "retrain_speedups")
    if not work.curves.empty:
        files.append(_plot(work))
    failed = frame.get("error")
    for error in [] if failed is None else failed.dropna():
        console.print(f"A training failed: {error}", markup=False, soft_wrap=True)
    print_files(console, files)
    return 1 if failed is not None and failed.notna().any() else 0


def _plot(work: Retraining) -> Path:
    """Draws the validation curves over seconds: solid from inherited weights, dashed from new."""
    from parsl_tl.reporting.frame_plots import save_plot

    name = work.objective.removeprefix("-")

    def draw(axes: Any) -> None:
        colors: dict[Any, str] = {}
        groups = work.curves.groupby(["model_id", "start", "seed"], sort=False)
        for (model_id, start, seed), curve in groups:
            color = colors.setdefault(model_id, f"C{len(colors) % 10}")
            style = "-" if start == "inherited" else "--"
            label = f"{str(model_id)[:8]} {start}" if seed == work.seeds[0] else None
            axes.plot(curve["seconds"], curve[name], style, color=color, label=label, linewidth=1.2)
        axes.set_xlabel("seconds of training, from the first step")
        axes.set_ylabel(name)
        axes.set_title("The best models, trained fully", fontsize=10)
        axes.grid(alpha=0.4)
        axes.figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)

    return save_plot(work.folder / "retrain.png", draw, (8.0, 5.0))


def _evaluate(args: argparse.Namespace) -> int:
    from parsl_tl.reporting.console import make_console, print_files
    from parsl_tl.reporting.files import prepare_folder, write_table
    from parsl_tl.reporting.tables import print_table
    from parsl_tl.search.scoring import evaluate_best

    console = make_console()
    folder = prepare_folder(args.out or args.campaign)
    with stopping_in_order():
        frame = evaluate_best(args.campaign, args.top, config_of(args), max_workers=args.workers)
    print_table("On samples that the search has not seen", frame, console)
    print_files(console, write_table(frame, folder, "evaluate"))
    return 1 if "error" in frame and frame["error"].notna().any() else 0
