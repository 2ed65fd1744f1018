"""The options that name experiment trackers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsl_tl.search.callbacks import SearchCallback


def add_tracker_options(parser: Any, when: str) -> None:
    """Adds the options.

    Args:
        parser: of a command.
        when: a search is written, for their help.
    """
    group = parser.add_argument_group(
        "experiment trackers", f"Write the search for a tracker as well, {when}."
    )
    group.add_argument(
        "--tensorboard",
        type=Path,
        metavar="FOLDER",
        help="TensorBoard's log folder: a run for each evaluation with its choices (HParams), its "
        "metrics by epoch, and the best so far",
    )
    group.add_argument(
        "--mlflow",
        metavar="WHERE",
        help="MLflow's tracking URI (sqlite:///runs.db, http://host:5000), or a folder for its "
        "database: a run for the search, and in it one for each evaluation",
    )


def trackers_of(args: argparse.Namespace) -> list[SearchCallback]:
    """Returns the trackers that the options name.

    Raises:
        TrackingError: one is not installed, or cannot be used.
    """
    found: list[SearchCallback] = []
    if args.tensorboard is not None:
        from parsl_tl.tracking.tensorboard import TensorBoardCallback

        found.append(TensorBoardCallback(args.tensorboard))
    if args.mlflow is not None:
        from parsl_tl.tracking.mlflow import MLflowCallback

        found.append(MLflowCallback(args.mlflow))
    return found
