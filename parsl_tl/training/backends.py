"""What Keras leaves to its backend: threads, GPUs, and what it keeps of compiled models.

Keras' backend is what ``KERAS_BACKEND`` names: ``tensorflow``, ``jax`` or ``torch``. Nothing else
depends on it, but for how batches are made and how weights are set without a copy.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from parsl_tl.training.gpu_memory import gpu_share, limit_tensorflow

logger = logging.getLogger(__name__)

_FORGET_EVERY: Final = 32
_evaluations = itertools.count(1)


def set_up_backend(threads: int | None) -> bool:
    """Loads Keras' backend with so many threads, quiet, with GPU memory as it is needed.

    Where workers share a GPU, it takes no more of its memory than ``gpu_memory.gpu_share`` says.

    Args:
        threads: None leaves the choice to the framework.

    Returns:
        False where the framework was running already and keeps its settings.

    Raises:
        ImportError: the backend is not installed.
        InvalidValueError: what is said of the GPU's memory is no share.
    """
    share = gpu_share()
    backend = os.environ["KERAS_BACKEND"]
    if backend == "tensorflow":
        return _set_up_tensorflow(threads, share)
    if backend == "jax":
        return _set_up_jax(threads, share)
    if backend == "torch":
        return _set_up_torch(threads, share)
    return False


def _set_up_tensorflow(threads: int | None, share: float | None) -> bool:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    try:
        if threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            limit_tensorflow(gpu, share)
        if not gpus:
            # Rewriting a graph takes a third of the time from its trace to the end of its first
            # step, and on a CPU the steps of dense, convolutional and attention networks gain
            # nothing by it.
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    except (RuntimeError, ValueError) as error:
        logger.info("TensorFlow keeps the settings it is running with: %s", error)
        return False
    return True


def _set_up_jax(threads: int | None, share: float | None) -> bool:
    if "jax" in sys.modules:
        return False
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if share is not None:
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", str(share))
    if threads is not None:
        os.environ.setdefault("PJRT_NPROC", str(threads))
        if threads == 1:
            flags = os.environ.get("XLA_FLAGS", "")
            os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    import jax  # noqa: F401

    return True


def _set_up_torch(threads: int | None, share: float | None) -> bool:
    # Threads of OpenMP wait for each other at work, by default: where workers share cores, small
    # operations took twenty times their processor seconds.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    if share is not None and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)
    return True


def loaded_gpus() -> list[str] | None:
    """Returns the names of the GPUs that the loaded framework sees; None where none is loaded."""
    if "tensorflow" in sys.modules and os.environ.get("KERAS_BACKEND") in (None, "tensorflow"):
        import tensorflow as tf

        return [gpu.name for gpu in tf.config.list_physical_devices("GPU")]
    if "jax" in sys.modules and os.environ.get("KERAS_BACKEND") == "jax":
        import jax

        return [str(device) for device in jax.devices() if device.platform != "cpu"]
    if "torch" in sys.modules and os.environ.get("KERAS_BACKEND") == "torch":
        import torch

        # AMD's GPUs go by the name of cuda, too.
        devices = torch.cuda if torch.cuda.is_available() else torch.xpu
        return [str(devices.get_device_name(n)) for n in range(devices.device_count())]
    return None


@contextmanager
def forgetting_gradients() -> Iterator[None]:
    """Drops, at its end, what TensorFlow has registered of the gradients of models within.

    It registers those of ``swish``, and of everything with a gradient of its own, each time that a
    model is traced, and for ever; with one goes all that was traced with it, megabytes each.
    """
    before = set(_gradients_of_models())
    try:
        yield
    finally:
        for name in set(_gradients_of_models()) - before:
            del _gradients()[name]


def _gradients() -> dict[str, Any]:
    """Returns TensorFlow's registry itself; an empty one where it is not loaded."""
    module = sys.modules.get("tensorflow.python.framework.ops")
    return getattr(getattr(module, "gradient_registry", None), "_registry", {})


def _gradients_of_models() -> Iterator[str]:
    return (name for name in list(_gradients()) if name.startswith("CustomGradient-"))


def forget_compiled() -> None:
    """Drops what the backend keeps of models that were compiled, once in a while.

    What belongs to a model alone goes with it. Operations that make weights, and set and read them,
    are compiled for each shape: the next models are of similar ones, and without them would take
    seconds to build.
    """
    if "jax" in sys.modules and os.environ.get("KERAS_BACKEND") == "jax":
        if next(_evaluations) % _FORGET_EVERY:
            return
        import jax

        clear: Any = jax.clear_caches  # which has no types
        clear()
