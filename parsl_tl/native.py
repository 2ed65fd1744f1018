"""The native module, loaded with a clear word when it cannot be.

The C++ side links against the Arrow libraries inside the pyarrow wheel it was compiled with, whose
ABI changes with every release.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from ctypes import CDLL
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from parsl_tl import errors
from parsl_tl.errors import NativeModuleError

__all__ = ["load_module", "native"]

_MISMATCH = (
    "parsl_tl was compiled against {built} of pyarrow, but {found} is installed: "
    "run `pip install --force-reinstall --no-deps .` in its checkout (or `make -B install`) "
    "to compile it anew"
)


def load_module(name: str) -> ModuleType:
    """Imports a native module of this package, such as ``_flight``.

    Raises:
        ImportError: it is not there, or a library that it needs is not.
    """
    module = importlib.import_module(f"parsl_tl.{name}")
    # What the C++ side throws becomes exceptions of these classes.
    if hasattr(module, "set_errors"):
        module.set_errors(errors)
    return module


def _load() -> ModuleType:
    _load_arrow()
    try:
        module = load_module("_native")
    except ModuleNotFoundError as error:
        raise NativeModuleError(
            "parsl_tl's native module is not installed: run `pip install .` (or `make install`) "
            "in the checkout; do not import parsl_tl from the bare source folder"
        ) from error
    except ImportError as error:
        raise NativeModuleError(
            _MISMATCH.format(built="another release", found=_pyarrow_version())
            if "libarrow" in str(error)
            else f"parsl_tl's native module cannot be loaded: {error}"
        ) from None
    found = _pyarrow_version()
    if found != module.PYARROW_VERSION:
        raise NativeModuleError(
            _MISMATCH.format(built=f"release {module.PYARROW_VERSION}", found=found)
        )
    return module


def _load_arrow() -> None:
    """Puts the wheel's libarrow into the process, wherever it lies.

    Importing pyarrow would do so too, with numpy, Parquet and more, which take 40 MB of a server.
    """
    if "pyarrow" in sys.modules:
        return
    spec = importlib.util.find_spec("pyarrow")
    if spec is None or not spec.submodule_search_locations:
        raise NativeModuleError("pyarrow is not installed: run `pip install pyarrow`")
    for folder in spec.submodule_search_locations:
        for library in sorted(Path(folder).glob("libarrow.so.*")):
            CDLL(str(library))


def _pyarrow_version() -> str:
    # Of the one in this process, if there is one by now.
    imported = sys.modules.get("pyarrow")
    return str(imported.__version__) if imported is not None else version("pyarrow")


if TYPE_CHECKING:
    from parsl_tl import _native as native
else:
    native = _load()
