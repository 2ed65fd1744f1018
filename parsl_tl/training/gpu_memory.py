"""How much of a GPU's memory this process may use, where several workers share one."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from typing import Any, Final

from parsl_tl.errors import InvalidValueError
from parsl_tl.gpu_pinning import GPU_SHARE_VARIABLE

logger = logging.getLogger(__name__)

_QUERY_SECONDS: Final = 30.0


def gpu_share() -> float | None:
    """Returns the share of its GPU's memory that this process may use; None for all of it.

    Raises:
        InvalidValueError: the variable holds no share.
    """
    text = os.environ.get(GPU_SHARE_VARIABLE)
    if not text:
        return None
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise InvalidValueError(
            f"{GPU_SHARE_VARIABLE} is {text!r}; it must be a share of a GPU's memory, above 0 and "
            "at most 1"
        )
    return share


def gpu_megabytes() -> int | None:
    """Returns the memory of the NVIDIA GPU that this process is pinned to; None if nobody tells."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    if pinned := os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip():
        command += ["-i", pinned]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_QUERY_SECONDS)
        return int(told.stdout.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        logger.warning("%s does not tell how much memory the GPU has: %s", program, error)
        return None


def limit_tensorflow(gpu: Any, share: float | None) -> None:
    """Lets TensorFlow take memory of a GPU as it needs it, or up to a share of it.

    Args:
        gpu: a physical device.
        share: None for no limit.

    Raises:
        RuntimeError: TensorFlow uses the GPU already.
        ValueError: likewise.
    """
    import tensorflow as tf

    megabytes = None if share is None else gpu_megabytes()
    if share is None or megabytes is None:
        tf.config.experimental.set_memory_growth(gpu, True)
        return
    limit = tf.config.LogicalDeviceConfiguration(memory_limit=int(share * megabytes))
    tf.config.set_logical_device_configuration(gpu, [limit])


def release_gpu_memory() -> None:
    """Gives memory that nothing uses any more back to the other processes on a GPU."""
    torch: Any = sys.modules.get("torch")
    # The others give it back by themselves, or never.
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
