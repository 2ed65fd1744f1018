"""``parsl-tl search``: start a campaign, or carry one on."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any

from parsl_tl import exit_codes
from parsl_tl.arguments import positive_float, positive_int, share
from parsl_tl.cli.name_values import parse_pairs
from parsl_tl.errors import CampaignError, InfrastructureError
from parsl_tl.stop_signals import stopping_in_order

if TYPE_CHECKING:
    import pandas as pd

_STOPPING = ("early_stopping_patience", "unfreeze_after")
_WIDE = 100  # columns of a terminal
_MAX_EVALS = 60
_RESULTS = ("results.parquet", "results.csv", "curves.parquet")
_EXAMPLES = """\
examples:
  parsl-tl search --problem digits --space dense-skip --max-evals 60 --out runs/demo
  parsl-tl search --resume --out runs/demo --max-evals 120
  parsl-tl search --problem digits --space dense-skip --out runs/served \
      --store "grpc+tcp://node1:4000 grpc+tcp://node2:4000"
  parsl-tl search --problem synthetic --problem-arg width=20 --space feed-forward \\
      --space-arg num_layers=6 --max-evals 100 --beta 2 --out runs/synthetic

exit codes:
  0    all evaluations are finished, and no more than --max-failed-share of them failed
  1    all are finished, and more failed, or every one
  2    an error: an option, the folder, the configuration or the store cannot be used
  3    workers, blocks, executors or the folder failed, and evaluations are left
  4    --max-seconds was over, and evaluations are left
  130  ended by Ctrl-C or SIGTERM
After 3, 4 and 130, --resume carries on: nothing is lost, and nothing evaluated twice.
"""


def add_search_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    parser = subparsers.add_parser(
        "search",
        help="search for architectures, with transfer learning",
        description="Search for architectures by regularized evolution. Every child takes over "
        "the weights of the stored model with which it shares the longest prefix of layers, "
        "trains the rest, and stores only what it trained.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is searched")
    what.add_argument(
        "--problem",
        help="digits, synthetic, ... (see `parsl-tl problems`), or your own: "
        "package.module:Class, file.py:Class",
    )
    what.add_argument(
        "--space", help="dense-skip, feed-forward, ... (see `parsl-tl spaces`), or your own"
    )
    _add_pairs(what, "--problem-arg", "an argument of the problem")
    _add_pairs(what, "--space-arg", "an argument of the space")

    how = parser.add_argument_group("how")
    how.add_argument(
        "--max-evals",
        type=positive_int,
        help=f"evaluations in all (default {_MAX_EVALS}; with --resume, as many as before)",
    )
    how.add_argument(
        "--max-seconds", type=positive_float, help="stop after this time; resume later"
    )
    how.add_argument("--timeout", type=positive_float, help="seconds that one evaluation may take")
    how.add_argument(
        "--allow-repeats",
        action="store_true",
        default=None,
        help="evaluate an architecture again when it comes up again (default: look for a new one)",
    )
    how.add_argument(
        "--max-failed-share",
        type=share,
        help="share of failed evaluations up to which the exit code is 0 (default 0.5)",
    )
    how.add_argument(
        "--max-losses",
        type=positive_int,
        default=5,
        help="end the search when an evaluation was lost so often with its worker, block or "
        "executor while no other one ended (default 5)",
    )
    how.add_argument("--seed", type=int, help="of all randomness (default 0)")
    how.add_argument(
        "--population-size",
        type=positive_int,
        help="members of the population (default: a third of the evaluations, at most 50)",
    )
    how.add_argument(
        "--sample-size", type=positive_int, help="members of a tournament (default 5 at most)"
    )
    how.add_argument(
        "--beta",
        type=float,
        help="mutate late layers more: weight of the last group of choices beside the first "
        "(default: all choices alike)",
    )
    how.add_argument(
        "--transfer",
        metavar="METHOD",
        help="store: take over the longest prefix (default); hdf5, safetensors, redis or a method "
        "of yours: the same, with whole models kept that way; none: keep no models",
    )
    _add_pairs(how, "--transfer-arg", "an argument of a transfer method that keeps no store")
    how.add_argument(
        "--from-scratch",
        action="store_true",
        default=None,
        help="transfer nothing, and store every model all the same: what transfer is compared with",
    )
    how.add_argument("--keep-best", type=int, help="best models that stay in the store (default 5)")

    training = parser.add_argument_group("training of a candidate (default: the problem's)")
    training.add_argument("--epochs", type=positive_int, help="epochs at most")
    training.add_argument("--batch-size", type=positive_int, help="samples per step")
    training.add_argument("--learning-rate", type=positive_float, help="of the optimizer")
    training.add_argument(
        "--early-stopping-patience",
        "--patience",  # its name in earlier releases
        type=positive_int,
        metavar="EPOCHS",
        help="epochs without progress after which training stops",
    )
    training.add_argument(
        "--unfreeze-after",
        type=positive_int,
        metavar="EPOCHS",
        help="epochs after which what was transferred is trained, too (default: keep it frozen)",
    )

    where = parser.add_argument_group("where")
    where.add_argument("--out", required=True, help="the campaign's folder")
    where.add_argument("--resume", action="store_true", help="carry on the campaign in --out")
    where.add_argument(
        "--config",
        default="local",
        help="executor configuration: a name, a file, or file.py:function (default local)",
    )
    where.add_argument("--workers", type=positive_int, help="worker processes (default: config's)")
    where.add_argument(
        "--store",
        help="URI of the model store: embedded:/folder, or the connection strings of servers in "
        "quotes, their address files, or MODEL_SERVERS (default: in the campaign's folder). With "
        "--resume: where the servers are now",
    )
    where.add_argument(
        "--no-data-check",
        action="store_true",
        help="do not load the data of a problem of your own before workers start",
    )
    where.add_argument(
        "--overlap-store",
        action="store_true",
        default=None,
        help="workers store a model while they go on with the next evaluation: a result may then "
        "be known before its model can be a donor, and a model that was on its way when the "
        "search was killed is lost",
    )
    parser.set_defaults(run=run_search)


def _add_pairs(group: Any, option: str, what: str) -> None:
    group.add_argument(
        option, action="append", default=[], metavar="NAME=VALUE", help=f"{what}; repeatable"
    )


def run_search(args: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    # Parsl's loggers print a traceback for each line that a full disk does not take.
    logging.raiseExceptions = False
    with stopping_in_order():
        return _search(args)


def _search(args: argparse.Namespace) -> int:
    # Imported here: DeepHyper and Parsl take seconds, which --help need not.
    from rich.console import Console

    from parsl_tl.search.campaign import Campaign
    from parsl_tl.search.progress import SearchProgress
    from parsl_tl.search.settings import NONE_KEEPS_NOTHING

    settings = _settings(args)
    if args.transfer == "none":
        print(f"parsl-tl: warning: {NONE_KEEPS_NOTHING}", file=sys.stderr)
        warnings.filterwarnings("ignore", re.escape(NONE_KEEPS_NOTHING), FutureWarning)
    if args.resume:
        campaign = Campaign.resume(
            args.out,
            args.config,
            max_workers=args.workers,
            store=settings.pop("store"),
            expected={**settings, "max_failed_share": None},
        )
    else:
        campaign = _new_campaign(args, settings)
    max_evals = args.max_evals or campaign.settings.max_evals or _MAX_EVALS
    console = Console()
    console.print(
        f"{campaign.settings.problem} in {campaign.settings.space}: "
        f"{max_evals} evaluations on config {args.config}, in {campaign.folder}",
        highlight=False,
        soft_wrap=True,
    )
    progress = SearchProgress(max_evals, console)
    try:
        with progress:
            frame = campaign.search(
                max_evals,
                max_seconds=args.max_seconds,
                evaluation_timeout=args.timeout,
                max_losses=args.max_losses,
                progress=progress,
            )
    except KeyboardInterrupt:
        console.print(f"Interrupted. {_how_to_resume(args)}", soft_wrap=True)
        return exit_codes.INTERRUPTED
    except InfrastructureError as error:
        print(f"parsl-tl: error: {error}", file=sys.stderr)
        console.print(f"What the evaluations ran on failed. {_how_to_resume(args)}", soft_wrap=True)
        return exit_codes.INFRASTRUCTURE
    if progress.store_failures:
        console.print(
            f"The search did not have its store all the time: {progress.store_failures}",
            highlight=False,
            soft_wrap=True,
        )
    _show_best(console, frame, args.out)
    if campaign.settings.has_store:
        _show_export(console, frame, args.out)
    if len(frame) < progress.total:  # which is less where a space has no more architectures
        console.print(f"The time was over. {_how_to_resume(args)}", soft_wrap=True)
        return exit_codes.TIME_OVER
    most = args.max_failed_share
    if most is None:
        most = campaign.settings.max_failed_share
    return exit_codes.SUCCESS if _is_success(frame, most) else exit_codes.FAILED


def _how_to_resume(args: argparse.Namespace) -> str:
    return f"Carry on with: parsl-tl search --resume --out {args.out}"


def _is_success(frame: pd.DataFrame, max_failed_share: float) -> bool:
    failed = int(frame["objective"].isna().sum())
    return failed < len(frame) and failed <= max_failed_share * len(frame)


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the campaign settings that were given; None where an option was left out."""
    training = {
        name: getattr(args, name)
        for name in ("epochs", "batch_size", "learning_rate", *_STOPPING)
        if getattr(args, name) is not None
    }
    return {
        "problem": args.problem,
        "space": args.space,
        "store": args.store,
        "overlap_store": args.overlap_store,
        "transfer": args.transfer,
        "from_scratch": args.from_scratch,
        "transfer_args": parse_pairs(args.transfer_arg) or None,
        "seed": args.seed,
        "population_size": args.population_size,
        "sample_size": args.sample_size,
        "allow_repeats": args.allow_repeats,
        "beta": args.beta,
        "keep_best": args.keep_best,
        "max_failed_share": args.max_failed_share,
        "problem_args": parse_pairs(args.problem_arg) or None,
        "space_args": parse_pairs(args.space_arg) or None,
        "training": training or None,
    }


def _new_campaign(args: argparse.Namespace, settings: dict[str, Any]) -> Any:
    from parsl_tl.search.campaign import Campaign

    given = {name: value for name, value in settings.items() if value is not None}
    for name in ("problem", "space"):
        if name not in given:
            raise CampaignError(f"--{name} is needed to start a campaign (or --resume an old one)")
    max_evals = args.max_evals or _MAX_EVALS
    population = given.setdefault("population_size", max(2, min(50, max_evals // 3)))
    given.setdefault("sample_size", min(5, population))
    return Campaign(
        config=args.config,
        out=args.out,
        max_workers=args.workers,
        check_data=not args.no_data_check,
        max_evals=max_evals,
        **given,
    )


def _show_best(console: Any, frame: pd.DataFrame, out: str) -> None:
    """Prints the five best models and where everything is."""
    import pandas as pd
    from rich.table import Table

    failures = frame["failure"].value_counts()
    for reason, count in failures.items():
        console.print(f"{count} evaluations failed: {reason} (see results.csv, column error)")
    best = frame[frame["objective"].notna()].nlargest(5, "objective")
    if best.empty:
        console.print(f"No evaluation succeeded; {out}/campaign.log tells why.")
        return
    table = Table(title="Best five")
    table.add_column("model", no_wrap=True)
    # Of all columns, the network gets what room there is; narrow terminals show the first ones.
    shown = 5 if console.width >= _WIDE else 3
    for column in ("objective", "layers", "transferred", "parameters", "seconds")[:shown]:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("network", overflow="fold", min_width=20)
    for row in best.to_dict("records"):
        weighted = int(row["layers_total"])
        share = row["layers_transferred"] / weighted if weighted else 0.0
        layers = row.get("layers")  # which older campaigns did not count
        figures = (
            f"{row['objective']:.4f}",
            "-" if pd.isna(layers) else f"{layers:.0f}",
            f"{share:.0%}",
            f"{row['parameters_total']:,.0f}",
            f"{row['seconds_total']:.1f}",
        )
        table.add_row(row["model_id"], *figures[:shown], row["architecture"])
    console.print(table)
    files = ", ".join(f"{out}/{name}" for name in _RESULTS)
    console.print(f"Results: {files}", soft_wrap=True)


def _show_export(console: Any, frame: pd.DataFrame, out: str) -> None:
    """Says how to get at the best model."""
    best = frame[frame["objective"].notna()].nlargest(1, "objective")
    for model_id in best["model_id"]:
        console.print(
            f"A model as a Keras file: parsl-tl store export {out} {model_id} best.keras",
            soft_wrap=True,
            highlight=False,
        )
