"""``parsl-tl search``: start a campaign, or carry one on."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl import exit_codes
from parsl_tl.cli.config_options import config_of
from parsl_tl.cli.light_driver import import_with_few_threads
from parsl_tl.cli.search_options import MAX_EVALS, add_search_options, search_settings
from parsl_tl.cli.tracker_options import trackers_of
from parsl_tl.errors import CampaignError, InfrastructureError
from parsl_tl.reporting.sizes import counted
from parsl_tl.stop_signals import stopping_in_order

if TYPE_CHECKING:
    import pandas as pd

_WIDE = 100  # columns of a terminal
_SECONDS_TO_END = 120.0  # what a search that stops may take to end its workers and write
_FRONT = 20  # rows at most
_DATA_ROWS = 40
_RESULTS = ("results.parquet", "results.csv", "curves.parquet")


def add_search_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    add_search_options(subparsers, run_search)


def run_search(args: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    # Parsl's loggers print a traceback for each line that a full disk does not take.
    logging.raiseExceptions = False
    with stopping_in_order():
        return _search(args)


def _search(args: argparse.Namespace) -> int:
    import_with_few_threads()
    # Imported here: DeepHyper and Parsl take seconds, which --help need not.
    from rich.console import Console

    from parsl_tl.search.campaign import Campaign
    from parsl_tl.search.progress import SearchProgress
    from parsl_tl.search.settings import NONE_KEEPS_NOTHING

    settings = search_settings(args)
    max_seconds = _seconds_until(args.max_seconds)
    if args.transfer == "none":
        print(f"parsl-tl: warning: {NONE_KEEPS_NOTHING}", file=sys.stderr)
        warnings.filterwarnings("ignore", re.escape(NONE_KEEPS_NOTHING), FutureWarning)
    if args.resume:
        campaign = Campaign.resume(
            args.out,
            config_of(args),
            max_workers=args.workers,
            callbacks=trackers_of(args),
            store=settings.pop("store"),
            expected={**settings, "max_failed_share": None},
            trace=args.trace,
        )
    else:
        campaign = _new_campaign(args, settings)
        _show_data(campaign)
    max_evals = args.max_evals or campaign.settings.max_evals or MAX_EVALS
    console = Console()
    console.print(
        f"{campaign.settings.problem} in {campaign.settings.space}: "
        f"{counted(max_evals, 'evaluation')} on config {args.config}, in {campaign.folder}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"Watch it: parsl-tl dashboard {args.out}", highlight=False, soft_wrap=True)
    progress = SearchProgress(max_evals, console)
    try:
        with progress:
            frame = campaign.search(
                max_evals,
                max_seconds=max_seconds(),
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
    measured = [name.removeprefix("-") for name in campaign.settings.minimize]
    _show_best(console, frame, args.out, [name for name in measured if name in frame])
    if campaign.settings.has_store:
        _show_export(console, frame, args.out)
    console.print(f"What it did, as a page: parsl-tl report {args.out}", soft_wrap=True)
    if args.trace:
        console.print(f"When it did what: parsl-tl trace {args.out}", soft_wrap=True)
    if len(frame) < progress.total:  # which is less where a space has no more architectures
        console.print(f"The time was over. {_how_to_resume(args)}", soft_wrap=True)
        return exit_codes.TIME_OVER
    most = args.max_failed_share
    if most is None:
        most = campaign.settings.max_failed_share
    return exit_codes.SUCCESS if _is_success(frame, most) else exit_codes.FAILED


def _seconds_until(max_seconds: float | str | None) -> Callable[[], float | None]:
    """Returns what gives, when it is called, the seconds that a search may take then."""
    if not isinstance(max_seconds, str):
        return lambda: max_seconds
    from parsl_tl.sites.job_end import seconds_left

    end = time.monotonic() + seconds_left() - _SECONDS_TO_END
    return lambda: max(1.0, end - time.monotonic())


def _how_to_resume(args: argparse.Namespace) -> str:
    return f"Carry on with: parsl-tl search --resume --out {args.out}"


def _is_success(frame: pd.DataFrame, max_failed_share: float) -> bool:
    failed = int(frame["objective"].isna().sum())
    return failed < len(frame) and failed <= max_failed_share * len(frame)


def _new_campaign(args: argparse.Namespace, settings: dict[str, Any]) -> Any:
    from parsl_tl.search.campaign import Campaign
    from parsl_tl.search.settings import with_sizes

    given = {name: value for name, value in settings.items() if value is not None}
    for name in ("problem", "space"):
        if name not in given:
            raise CampaignError(f"--{name} is needed to start a campaign (or --resume an old one)")
    max_evals = args.max_evals or MAX_EVALS
    given = with_sizes(given, max_evals)
    return Campaign(
        config=config_of(args),
        out=args.out,
        max_workers=args.workers,
        check_data=not args.no_data_check,
        callbacks=trackers_of(args),
        max_evals=max_evals,
        trace=args.trace,
        **given,
    )


def _show_data(campaign: Any) -> None:
    """Says what the data is and what becomes of it, for problems that tell."""
    table = campaign.problem.data_table()
    if table is None:
        return
    from parsl_tl.reporting.console import make_console
    from parsl_tl.reporting.tables import print_table

    if preprocessing := campaign.problem.preprocessing():
        preprocessing.save(campaign.folder / "preprocessing.json")
    frame, console = table.to_pandas(), make_console()
    file = campaign.folder / "data.csv"
    frame.to_csv(file, index=False)
    print_table("The data", frame.head(_DATA_ROWS), console)
    if len(frame) > _DATA_ROWS:
        more = f"... and {len(frame) - _DATA_ROWS:,} more: {file}"
        console.print(more, markup=False, highlight=False, soft_wrap=True)


def _show_best(console: Any, frame: pd.DataFrame, out: str, measured: Sequence[str]) -> None:
    """Prints the five best models, with what else was measured, and where everything is."""
    import pandas as pd
    from rich.table import Table

    from parsl_tl.search.results import best_first

    failures = frame["failure"].value_counts()
    for reason, count in failures.items():
        console.print(
            f"{counted(count, 'evaluation')} failed: {reason} (see results.csv, column error)"
        )
    best = best_first(frame).head(5)
    if best.empty:
        console.print(f"No evaluation succeeded; {out}/campaign.log tells why.")
        return
    title = "Best five"
    if "pareto" in frame:
        best = best_first(frame[frame["pareto"]]).head(_FRONT)
        title = "Pareto front: nothing found beats these in everything (column pareto)"
    table = Table(title=title)
    table.add_column("model", no_wrap=True)
    # Of all columns, the network gets what room there is; narrow terminals show the first ones.
    shown = 5 if console.width >= _WIDE else 3 if "pareto" not in frame else 4
    for column in ("objective", "layers", "transferred", "parameters", "seconds")[:shown]:
        table.add_column(column, justify="right", no_wrap=True)
    others = [name for name in measured if name not in ("layers", "parameters")]
    for column in others:
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
        more = (f"{row[name]:.4g}" for name in others)
        table.add_row(row["model_id"], *figures[:shown], *more, row["architecture"])
    console.print(table)
    files = ", ".join(f"{out}/{name}" for name in _RESULTS)
    console.print(f"Results: {files}", soft_wrap=True)


def _show_export(console: Any, frame: pd.DataFrame, out: str) -> None:
    """Says how to get at the best models."""
    if frame["objective"].notna().any():
        console.print(
            f"The best as files, with a model card: parsl-tl export {out} --out {out}/best",
            soft_wrap=True,
            highlight=False,
        )
