"""Where data sets lie: folders that are looked through, and the one that downloads go to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from parsl_tl.errors import ProblemError
from parsl_tl.suggestions import did_you_mean

DATA_VARIABLE: Final = "PARSL_TL_DATA"


def data_folder() -> Path:
    """Returns the folder of all data sets: ``PARSL_TL_DATA``, or ``~/.cache/parsl_tl/data``.

    ``XDG_CACHE_HOME`` stands for ``~/.cache`` where it is set. The folder need not exist.
    """
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "parsl_tl" / "data"


def find_data(
    name: str, files: Sequence[str], folder: str | None, others: Sequence[str] = ()
) -> dict[str, Path]:
    """Finds the files of a data set, packed by gzip or not.

    Args:
        name: of the data set; the data folder has a folder of this name for it.
        files: the names that are looked for, without ``.gz``.
        folder: where they are; if None, the first of ``others`` and the data folder that has all.
        others: folders of the system that may have them.

    Returns:
        The path of each file.

    Raises:
        ProblemError: a file is missing; it tells where was looked and how to get it.
    """
    folders = (
        [Path(folder).expanduser().absolute()]
        if folder is not None
        else [*map(Path, others), data_folder() / name]
    )
    missing: dict[Path, list[str]] = {}
    for place in folders:
        found = {file: path for file in files if (path := _plain_or_packed(place / file))}
        missing[place] = [file for file in files if file not in found]
        if not missing[place]:
            return found
    looked = " and ".join(
        f"{place} ({'no folder' if not place.is_dir() else 'without ' + ', '.join(lacking)})"
        for place, lacking in missing.items()
    )
    raise ProblemError(
        f"problem {name!r} has no data in {looked}; get it with `parsl-tl data fetch {name}`, or "
        "name its place with folder=FOLDER"
    )


def _plain_or_packed(path: Path) -> Path | None:
    packed = path.with_name(f"{path.name}.gz")
    return path if path.is_file() else packed if packed.is_file() else None


def find_file(what: str, file: str) -> Path:
    """Returns the absolute path of a file that a user names.

    Args:
        what: it is, as the message begins.
        file: its path.

    Raises:
        ProblemError: there is none; it tells the nearest name in its folder.
    """
    path = Path(file).expanduser().absolute()
    if path.is_file():
        return path
    if path.is_dir():
        raise ProblemError(f"{what} {file} is a folder; name one file")
    beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    where = "" if path.parent.is_dir() else f", nor a folder {path.parent}"
    raise ProblemError(f"{what}: there is no file {path}{where}{did_you_mean(path.name, beside)}")
