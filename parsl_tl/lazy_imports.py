"""What libraries offer besides what this package uses is loaded when it is first used.

Keras' wrappers load scikit-learn, its visualization matplotlib, and Parsl what speaks to Kubernetes
and to its monitoring's database: a quarter of the time in which a worker starts, which uses none of
it. That holds for the processes of this package, its program and its workers; a workflow that
imports the package has the libraries as they are.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Final

_LAZY: Final = {
    "keras.src.visualization",
    *(
        f"{package}.{name}"
        for package in ("keras", "keras._tf_keras.keras")
        for name in ("visualization", "wrappers")
    ),
}
# What Parsl does without where it is not installed. Only drivers use it.
_OF_DRIVERS: Final = ("kubernetes", "sqlalchemy")


class _LazyFinder(MetaPathFinder):
    """Finds those modules where others do, and leaves their code for the first attribute."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See ``MetaPathFinder``."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in _LAZY else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def load_lazily() -> None:
    """From now on; what is loaded already stays as it is."""
    if not any(isinstance(finder, _LazyFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LazyFinder())


def import_parsl() -> None:
    """Imports Parsl, without what only drivers use of it, in a process that runs no user's code."""
    kept_away = [name for name in _OF_DRIVERS if name not in sys.modules]
    # None says that there is none, which the types of the standard library do not know.
    sys.modules.update(dict.fromkeys(kept_away))  # type: ignore[arg-type]
    try:
        importlib.import_module("parsl")
    finally:
        for name in kept_away:
            del sys.modules[name]
