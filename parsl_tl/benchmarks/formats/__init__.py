"""Ways to keep a model's weights: each is one file here, found by what it declares."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from parsl_tl.benchmarks.core.options import missing_packages
from parsl_tl.benchmarks.formats.file_format import FileFormat
from parsl_tl.benchmarks.formats.method import Method
from parsl_tl.errors import BenchmarkError

_MODULES: Final = [
    importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
]
_CLASSES: Final = sorted(
    (one for module in _MODULES for one in vars(module).values() if hasattr(one, "rank")),
    key=lambda one: one.rank,
)
# What keeps Keras models, and reads their layers one by one; and those that are files.
LAYER_FORMATS: Final[Mapping[str, FileFormat]] = {
    one.name: one() for one in _CLASSES if issubclass(one, FileFormat)
}
FILE_FORMATS: Final = {name: one for name, one in LAYER_FORMATS.items() if one.is_file}


def methods_of(suite: str) -> dict[str, list[type[Method]]]:
    """Returns what keeps arrays and is measured by a suite, by name, several with variants."""
    found: dict[str, list[type[Method]]] = {}
    for one in _CLASSES:
        if issubclass(one, Method) and suite in one.suites:
            found.setdefault(one.name, []).append(one)
    return found


def missing_methods(suite: str) -> dict[str, str]:
    """Returns those that cannot be measured here, with the reason in one line."""
    missing: dict[str, str] = {}
    for name, (one, *_) in methods_of(suite).items():
        reasons = list(missing_packages({package: package for package in one.packages}).values())
        if reasons := [*reasons, *filter(None, [one.missing()])]:
            missing[name] = reasons[-1]
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
