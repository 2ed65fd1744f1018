"""The native module, loaded with a clear word when it cannot be.

The C++ side links against the Arrow libraries inside the pyarrow wheel it was compiled with, whose
ABI changes with every release.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

_MISMATCH = (
    "parsl_tl was compiled against pyarrow {built}, but pyarrow {found} is installed: "
    "run `pip install --force-reinstall --no-deps parsl-tl` (or `make install` in a checkout) "
    "to compile it anew"
)


def _load() -> ModuleType:
    # Importing pyarrow first puts its libarrow into the process, wherever the wheel lies.
    import pyarrow

    try:
        module = importlib.import_module("parsl_tl._native")
    except ModuleNotFoundError as error:
        raise ImportError(
            "parsl_tl's native module is not installed: run `pip install .` (or `make install`) "
            "in the checkout; do not import parsl_tl from the bare source folder"
        ) from error
    except ImportError as error:
        found = pyarrow.__version__
        raise ImportError(_MISMATCH.format(built="of another release", found=found)) from error
    if pyarrow.__version__ != module.PYARROW_VERSION:
        raise ImportError(_MISMATCH.format(built=module.PYARROW_VERSION, found=pyarrow.__version__))
    return module


if TYPE_CHECKING:
    native: Any
else:
    native = _load()
