"""``parsl-tl data``: get the files of built-in problems, or make some of the same form."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.arguments import positive_int
from parsl_tl.reporting.sizes import show_bytes

if TYPE_CHECKING:
    from rich.progress import TaskID

_EXAMPLES = """\
examples:
  parsl-tl data list
  parsl-tl data fetch mnist
  parsl-tl data fetch nt3 --from /mnt/mirror/nt3 --folder data/nt3
  parsl-tl data make nt3 --rows 200 --columns 500 --out data/nt3
"""


def add_data_command(subparsers: Any) -> None:
    """Adds the command and its actions to the program's parser."""
    parser = subparsers.add_parser(
        "data",
        help="get or make the files of built-in problems",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what can be fetched or made, and what is there")
    listing.set_defaults(run=_list)
    what = "download the files of a problem, or carry on where that was broken off"
    fetching = actions.add_parser("fetch", help=what, description=what)
    fetching.add_argument("name", help="of the problem")
    fetching.add_argument(
        "--from",
        dest="source",
        metavar="URL|FILE|FOLDER",
        help="a mirror or a folder that has the files, in place of where they are published",
    )
    fetching.add_argument(
        "--folder",
        metavar="FOLDER",
        help="where they go (a folder of the problem's name in PARSL_TL_DATA, or in "
        "~/.cache/parsl_tl/data); problems look there",
    )
    fetching.set_defaults(run=_fetch)
    what = "write files of the form that a problem reads, with something to learn in them"
    making = actions.add_parser("make", help=what, description=what)
    making.add_argument("name", help="of the problem")
    making.add_argument("--rows", type=positive_int, required=True, help="samples in all")
    making.add_argument(
        "--columns", type=positive_int, help="width of the widest input (as published)"
    )
    making.add_argument("--out", required=True, metavar="FOLDER", help="where the files go")
    making.add_argument("--seed", type=int, default=0, help="of the numbers (0)")
    making.set_defaults(run=_make)


def _list(args: argparse.Namespace) -> int:
    from rich.table import Table

    from parsl_tl.problems.catalog import DATA_SETS
    from parsl_tl.problems.data_folder import data_folder
    from parsl_tl.problems.made_data import MAKERS
    from parsl_tl.reporting.console import make_console

    table = Table("problem", "files", "there", "made", title=f"Data in {data_folder()}")
    table.add_column("from", overflow="fold")
    for name, data_set in DATA_SETS.items():
        needed = [file for file in data_set.files if not file.optional]
        found = [file for file in needed if (data_folder() / name / file.name).is_file()]
        table.add_row(
            name,
            "\n".join(file.name for file in data_set.files),
            "yes" if len(found) == len(needed) else f"{len(found)} of {len(needed)}",
            "yes" if name in MAKERS else "",
            "\n".join(filter(None, (data_set.url, data_set.note))),
        )
    make_console().print(table)
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from parsl_tl.problems.catalog import find_data_set
    from parsl_tl.problems.data_folder import data_folder
    from parsl_tl.problems.download import fetch
    from parsl_tl.reporting.console import make_console

    data_set = find_data_set(args.name)
    folder = Path(args.folder).expanduser() if args.folder else data_folder() / args.name
    columns = (
        TextColumn("{task.description}"),
        *(BarColumn(), DownloadColumn(), TransferSpeedColumn()),
    )
    with Progress(*columns, console=make_console()) as shown:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, size: int | None) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name)
            shown.update(tasks[name], completed=done, total=size)

        paths = fetch(data_set, folder, args.source, report)
    _print_files(paths)
    return 0


def _make(args: argparse.Namespace) -> int:
    from parsl_tl.problems.made_data import make_data

    folder = Path(args.out).expanduser()
    _print_files(make_data(args.name, folder, args.rows, args.columns, args.seed))
    return 0


def _print_files(paths: list[Path]) -> None:
    for path in paths:
        print(f"{path}, {show_bytes(path.stat().st_size)}")
