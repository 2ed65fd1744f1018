"""Results as files: a folder that is known to be writable, and files that are whole at any time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from parsl_tl.errors import AnalysisError

if TYPE_CHECKING:
    import pandas as pd


def prepare_folder(folder: Path, option: str = "--out") -> Path:
    """Makes a folder for results, before any time is spent on them.

    Args:
        folder: may exist.
        option: what the user gave it by, for the error's text.

    Raises:
        AnalysisError: it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise AnalysisError(
            f"{option} {folder}: {error.strerror or error}; name another folder"
        ) from error
    return folder


def prepare_file(path: Path, suffixes: tuple[str, ...], option: str = "--out") -> Path:
    """Checks that a file can be written later.

    Args:
        path: its folder is made.
        suffixes: the formats there are.
        option: what the user gave it by, for the error's text.

    Raises:
        AnalysisError: another suffix, a folder of that name, or see ``prepare_folder``.
    """
    if path.suffix.lower() not in suffixes:
        raise AnalysisError(f"{option} {path}: the name must end in one of {', '.join(suffixes)}")
    if path.is_dir():
        raise AnalysisError(f"{option} {path} is a folder; name a file in it")
    prepare_folder(path.parent, option)
    return path


def replace_file(target: Path, write: Callable[[Path], object]) -> Path:
    """Writes a file beside its place and renames it.

    Args:
        target: where it appears.
        write: writes to the path that it is given, whose suffix is the target's.

    Raises:
        AnalysisError: it cannot be written.
    """
    partial = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        write(partial)
        partial.replace(target)
    except OSError as error:
        raise AnalysisError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def write_table(frame: pd.DataFrame, folder: Path, name: str) -> list[Path]:
    """Writes a table as CSV and as Parquet, and returns the two files."""
    return [
        replace_file(folder / f"{name}.csv", lambda path: frame.to_csv(path, index=False)),
        replace_file(folder / f"{name}.parquet", lambda path: frame.to_parquet(path, index=False)),
    ]
