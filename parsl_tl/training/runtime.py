"""The TensorFlow runtime of a worker: threads, devices, seeds, and memory between evaluations."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_AMD_DRIVER = Path("/dev/kfd")
_lock = threading.Lock()
_configured = False


def configure_threads(threads: int | None = None) -> bool:
    """Sets up TensorFlow for this process; only the first call does anything.

    Intra-op threads are set to ``threads``, so that the workers of a node do not compete for its
    cores; GPUs allocate memory as it is needed, so that several workers can share one; the log
    is quiet.

    Args:
        threads: cores that this process may use; None leaves the choice to TensorFlow.

    Returns:
        Whether this call made the settings: False if an earlier one did, or if TensorFlow was
        already running, as it may be in a process that is no dedicated worker.
    """
    global _configured
    with _lock:
        if _configured:
            return False
        filter_gpus_once()
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        tf.get_logger().setLevel(logging.ERROR)
        try:
            if threads is not None:
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
            for gpu in tf.config.list_physical_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
            applied = True
        except (RuntimeError, ValueError) as error:
            logger.info("TensorFlow keeps the settings it is running with: %s", error)
            applied = False
        # What the libraries allocated lives as long as the process. Out of the collector's sight,
        # the full collection between evaluations takes milliseconds and not half a second.
        gc.collect()
        gc.freeze()
        _configured = True
        return applied


def filter_gpus_once() -> None:
    """Leaves one of the variables that a launcher pins this process to an AMD GPU with.

    Parsl sets several. On AMD each filters what the one before has left and numbered anew, so
    that every GPU but number 0 would be hidden.
    """
    if _AMD_DRIVER.exists() and os.environ.get("ROCR_VISIBLE_DEVICES"):
        for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
            os.environ.pop(variable, None)


def visible_gpu() -> str | None:
    """Names the GPU that this process may use, as its launcher set it, or None.

    It is read from the environment where a launcher pins workers to GPUs, and from TensorFlow
    where that is loaded; it never loads it.
    """
    names: list[str] = []
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        names = [gpu.name for gpu in tf.config.list_physical_devices("GPU")]
        if not names:
            return None
    for variable in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"):
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
    """Seeds Python, numpy and TensorFlow: the same seed gives the same training."""
    import keras

    keras.utils.set_random_seed(seed)


def release_memory() -> None:
    """Frees what an evaluation left behind, so that a long-lived worker's memory stays flat."""
    if "keras" in sys.modules:
        import keras

        keras.backend.clear_session()


def array_bytes(variables: list[Any]) -> int:
    """Returns the bytes that Keras variables take."""
    import numpy as np

    return sum(
        int(np.prod(variable.shape)) * _itemsize(str(variable.dtype)) for variable in variables
    )


def _itemsize(dtype: str) -> int:
    """Bytes of one number, also for types that numpy does not have."""
    import tensorflow as tf

    return int(tf.as_dtype(dtype).size)
