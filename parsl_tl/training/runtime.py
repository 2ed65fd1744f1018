"""The framework's runtime in a worker: threads, devices, seeds, and memory between evaluations."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from parsl_tl.gpu_pinning import PINNED_BY, filter_gpus_once
from parsl_tl.training.backends import (
    forget_compiled,
    forgetting_gradients,
    loaded_gpus,
    set_up_backend,
)
from parsl_tl.training.gpu_memory import release_gpu_memory

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_configured = False
_has_evaluated = False


def configure_threads(threads: int | None = None) -> bool:
    """Sets up Keras' backend for this process; only the first call does anything.

    Threads are set to ``threads``, so that the workers of a node do not compete for its cores; GPUs
    allocate memory as it is needed, and no more than ``PARSL_TL_GPU_SHARE`` says, so that several
    workers can share one; the log is quiet. The
    backend is the one that ``KERAS_BACKEND`` names, or TensorFlow.

    Args:
        threads: cores that this process may use; None leaves the choice to the framework.

    Returns:
        Whether this call made the settings: False if an earlier one did, or if the framework was
        already running, as it may be in a process that is no dedicated worker.
    """
    global _configured
    with _lock:
        if _configured:
            return False
        filter_gpus_once()
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        applied = set_up_backend(threads)
        # What the libraries allocated lives as long as the process. Out of the collector's sight,
        # the full collection between evaluations takes milliseconds and not half a second.
        gc.collect()
        gc.freeze()
        _configured = True
        return applied


def visible_gpu() -> str | None:
    """Names the GPU that this process may use, as its launcher set it, or None.

    It is read from the environment where a launcher pins workers to GPUs, and from the framework
    where that is loaded; it never loads it.
    """
    names = loaded_gpus()
    if names == []:
        return None
    for variable in PINNED_BY.values():
        if os.environ.get(variable):
            return os.environ[variable]
    return names[0] if names else None


def derive_seed(seed: int, *parts: object) -> int:
    """Mixes a run's seed with what identifies an evaluation into a 31-bit seed.

    Args:
        seed: of the whole run.
        *parts: JSON-able values; the same ones give the same seed on every machine.
    """
    text = json.dumps([seed, *parts], sort_keys=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) & 0x7FFFFFFF


def seed_everything(seed: int) -> None:
    """Seeds Python, numpy and the backend: the same seed gives the same training."""
    import keras

    keras.utils.set_random_seed(seed)


@contextmanager
def releasing_memory() -> Iterator[None]:
    """Frees, at its end, what was left behind within."""
    try:
        with forgetting_gradients():
            yield
    finally:
        release_memory()


def release_memory() -> None:
    """Frees what an evaluation left behind, so that a long-lived worker's memory stays flat."""
    if "keras" in sys.modules:
        import keras

        keras.backend.clear_session()
        _freeze_once()
        forget_compiled()
        release_gpu_memory()


def _freeze_once() -> None:
    """Takes what the first evaluation has loaded out of the collector's sight, too.

    Its own garbage has been collected; what is left stays: libraries, data, connections.
    """
    global _has_evaluated
    with _lock:
        if not _has_evaluated:
            gc.freeze()
        _has_evaluated = True


def array_bytes(variables: list[Any]) -> int:
    """Returns the bytes that Keras variables take."""
    import numpy as np

    return sum(
        int(np.prod(variable.shape)) * _itemsize(str(variable.dtype)) for variable in variables
    )


def _itemsize(dtype: str) -> int:
    """Bytes of one number, also for types that numpy does not have."""
    import ml_dtypes  # noqa: F401 - it makes numpy know them
    import numpy as np

    return np.dtype(dtype).itemsize
