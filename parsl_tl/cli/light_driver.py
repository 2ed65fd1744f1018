"""A driver with few threads: login nodes have many cores, and let a user have few threads."""

from __future__ import annotations

import importlib
import os
from typing import Final

# They start a thread for each core as they are imported.
_LIBRARIES: Final = ("numpy", "scipy.linalg")
_VARIABLES: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def import_with_few_threads() -> None:
    """Imports libraries of numbers so that they start no threads, and limits Arrow's pools.

    The environment stays as it was: what workers take over of it is for their cores.
    """
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, "1"))
    try:
        for name in _LIBRARIES:
            importlib.import_module(name)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
