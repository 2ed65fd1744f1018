"""What evolution did with transfer: prefixes, donors, and lineages of a run or a population.

    parsl-tl analyze evolution runs/digits --out runs/digits-analysis
    parsl-tl analyze evolution runs/population runs/population-evolved --out runs/analysis

For the folder of a search, donors are those of its evaluations. For a generated population, a
model's donor is the earlier model with the longest common prefix; several folders are generations,
the earliest first. Four topics, each with tables (CSV, Parquet) and a plot:

    prefix_lengths   how many layers are taken over, and how that changes
    popularity       shares of donors in a sliding window of transfers, and how many donors matter
    donors           how long donors stay useful, and how often they are used
    lineage          how many ancestors models have, by mutation and by transfer

``transfers`` has one row per model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from parsl_tl.analysis import transfer_plots as plots
from parsl_tl.analysis import transfer_topics as topics
from parsl_tl.analysis.population_source import has_population, load_population
from parsl_tl.analysis.transfer_summary import summarize
from parsl_tl.analysis.transfers import Transfers, from_campaign, from_population
from parsl_tl.errors import AnalysisError, InvalidValueError
from parsl_tl.reporting.console import make_console, print_files, show_progress
from parsl_tl.reporting.files import prepare_folder, write_table

FOLLOWED = 8


def read(folders: list[Path], console: Console) -> Transfers:
    """Reads a run or a population.

    Raises:
        AnalysisError: a folder that is neither.
    """
    for folder in folders:
        if not folder.is_dir():
            raise AnalysisError(f"{folder} is no folder; name that of a search or of a population")
    if has_population(folders[0]):
        population = load_population(folders)
        with show_progress(console, "donors") as progress:
            return from_population(population, lambda share: progress(share, "finding prefixes"))
    if not (folders[0] / "results.parquet").exists():
        raise AnalysisError(
            f"{folders[0]} has neither results.parquet (of a search) nor metadata_0.json (of a "
            "generated population); name a folder with either"
        )
    if len(folders) > 1:
        raise AnalysisError(f"{folders[0]} is a search; analyze each search by itself")
    return from_campaign(folders[0])


def print_summary(console: Console, transfers: Transfers, lives: pd.DataFrame) -> None:
    """Prints the figures of all topics, and the donors that were used most."""
    table = Table(title=transfers.source, title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    for what, value in summarize(transfers).items():
        table.add_row(what, value)
    console.print(table, markup=False)
    table = Table(title="Donors with the most transfers", title_justify="left")
    for column in ("donor", "born", "transfers", "share", "layers", "first age", "last age"):
        table.add_column(column, justify="left" if column == "donor" else "right")
    for row in lives.head(FOLLOWED).itertuples(index=False):
        ages = (str(row.first_age), str(row.last_age))
        counts = (str(row.born), f"{row.transfers:,}", f"{row.share:.1%}", f"{row.layers:.1f}")
        table.add_row(str(row.donor), *counts, *ages)
    console.print(table, markup=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="see above")
    parser.add_argument(
        "--window", type=int, help="transfers in a sliding window (a twentieth, at least 10)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/analysis"), help="a folder")


def run(args: argparse.Namespace) -> int:
    """Reads, prints, and writes everything."""
    if args.window is not None and args.window < 1:
        raise InvalidValueError(f"--window {args.window} must be at least 1 transfer")
    out = prepare_folder(args.out)
    console = make_console()
    transfers = read(args.folders, console)
    window = args.window or max(10, len(transfers.receivers) // 20)

    lengths, models = topics.prefix_lengths(transfers), topics.per_model(transfers)
    followed, overall = topics.popularity(transfers, window, FOLLOWED)
    lives, useful = topics.donor_lives(transfers), topics.still_useful(transfers)
    depth = topics.lineage(transfers)
    print_summary(console, transfers, lives)
    tables = {
        "transfers": models,
        "prefix_lengths": lengths,
        "popularity": followed,
        "popularity_overall": overall,
        "donors": lives,
        "still_useful": useful,
        "lineage": depth,
    }
    files = [file for name, table in tables.items() for file in write_table(table, out, name)]
    files += [
        plots.plot_prefix_lengths(lengths, transfers, out / "prefix_lengths.png"),
        plots.plot_popularity(followed, overall, window, out / "popularity.png"),
        plots.plot_donors(lives, useful, out / "donors.png"),
        plots.plot_lineage(depth, models, out / "lineage.png"),
    ]
    print_files(console, files)
    return 0
