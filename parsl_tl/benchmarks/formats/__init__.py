"""Ways to keep a model's weights: each is one file here, found by what it declares."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from parsl_tl.benchmarks.formats.file_format import FileFormat
from parsl_tl.benchmarks.formats.operation import ArrayFormat
from parsl_tl.errors import BenchmarkError

_DECLARED: Final = [
    declared
    for module in pkgutil.iter_modules(__path__)
    for declared in vars(importlib.import_module(f"{__name__}.{module.name}")).values()
]
# What keeps arrays, in the order of tables.
ARRAY_FORMATS: Final[Mapping[str, ArrayFormat]] = {
    one.name: one
    for one in sorted(
        {one for one in _DECLARED if isinstance(one, ArrayFormat)}, key=lambda one: one.rank
    )
}
# What keeps Keras models, and reads their layers one by one.
LAYER_FORMATS: Final[Mapping[str, FileFormat]] = {
    one.name: one
    for one in sorted(
        {one for one in _DECLARED if isinstance(one, FileFormat)}, key=lambda one: one.rank
    )
}
# Those of them that are files.
FILE_FORMATS: Final = {name: one for name, one in LAYER_FORMATS.items() if one.is_file}


def measured_by(suite: str) -> tuple[str, ...]:
    """Returns the names of the array formats that a suite measures."""
    return tuple(name for name, one in ARRAY_FORMATS.items() if suite in one.suites)


def missing_methods(suite: str) -> dict[str, str]:
    """Returns array formats that a suite cannot measure here, with the reason in one line."""
    missing = {}
    for name in measured_by(suite):
        one = ARRAY_FORMATS[name]
        for package in one.suites[suite]:
            if importlib.util.find_spec(package) is None:
                missing[name] = f"{package} is not installed: pip install {package}"
        reason = one.missing()
        if reason is not None:
            missing[name] = reason
    return missing


def format_of(path: Path) -> str:
    """Returns the name of the format that a path's suffix stands for.

    Raises:
        BenchmarkError: there is none.
    """
    name = path.name.removesuffix(".index")
    for known, file_format in FILE_FORMATS.items():
        if name.endswith(file_format.suffix):
            return known
    suffixes = ", ".join(file_format.suffix for file_format in FILE_FORMATS.values())
    raise BenchmarkError(f"{path}: the name must end in one of {suffixes}")
