"""The native module, loaded with a clear word when it cannot be.

The C++ side links against the Arrow libraries inside the pyarrow wheel it was compiled with, whose
ABI changes with every release.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import NativeModuleError

_MISMATCH = (
    "parsl_tl was compiled against {built} of pyarrow, but {found} is installed: "
    "run `pip install --force-reinstall --no-deps .` in its checkout (or `make -B install`) "
    "to compile it anew"
)


def _load() -> ModuleType:
    # Importing pyarrow first puts its libarrow into the process, wherever the wheel lies.
    import pyarrow

    try:
        module = importlib.import_module("parsl_tl._native")
    except ModuleNotFoundError as error:
        raise NativeModuleError(
            "parsl_tl's native module is not installed: run `pip install .` (or `make install`) "
            "in the checkout; do not import parsl_tl from the bare source folder"
        ) from error
    except ImportError as error:
        raise NativeModuleError(
            _MISMATCH.format(built="another release", found=pyarrow.__version__)
            if "libarrow" in str(error)
            else f"parsl_tl's native module cannot be loaded: {error}"
        ) from None
    if pyarrow.__version__ != module.PYARROW_VERSION:
        raise NativeModuleError(
            _MISMATCH.format(built=f"release {module.PYARROW_VERSION}", found=pyarrow.__version__)
        )
    return module


if TYPE_CHECKING:
    native: Any
else:
    native = _load()
