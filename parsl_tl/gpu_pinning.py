"""Which GPU a worker uses: one variable of the environment says it, and it is the right one.

Parsl sets the variables of all makers in every worker. A configuration says which one counts, as
``PARSL_TL_ACCELERATOR``: ``cuda``, ``rocm`` or ``xpu``.
"""

from __future__ import annotations

import os
from pathlib import Path

PINNED_BY = {
    "cuda": "CUDA_VISIBLE_DEVICES",
    "rocm": "ROCR_VISIBLE_DEVICES",
    "xpu": "ZE_AFFINITY_MASK",
}
# With this value, GPUs are numbered among those that a job was given; a pool of workers then puts
# there what these are called on its node.
GPUS = "PARSL_TL_GPUS"
OF_THE_JOB = "of-the-job"
GPU_SHARE_VARIABLE = "PARSL_TL_GPU_SHARE"
"""Variable of the environment with the share of its GPU's memory that a worker may use."""
_ALL = (*PINNED_BY.values(), "HIP_VISIBLE_DEVICES")
_AMD_DRIVER = Path("/dev/kfd")


def note_gpus_of_the_job() -> None:
    """Notes, before workers start, which GPUs of this node a scheduler lists for the job."""
    if os.environ.get(GPUS) == OF_THE_JOB:
        variable = PINNED_BY.get(os.environ.get("PARSL_TL_ACCELERATOR", ""), "")
        os.environ[GPUS] = os.environ.get(variable, "")


def filter_gpus_once() -> None:
    """Leaves one of the variables that a launcher pins this process to a GPU with.

    On AMD each filters what the one before has left and numbered anew, so that every GPU but
    number 0 would be hidden; and Parsl counts NVIDIA's itself where several workers share one.
    Without ``PARSL_TL_ACCELERATOR``, AMD's counts where its driver is.
    """
    maker = os.environ.get("PARSL_TL_ACCELERATOR")
    given = os.environ.get("ROCR_VISIBLE_DEVICES")
    if maker in PINNED_BY and "PARSL_WORKER_RANK" in os.environ and given:
        for variable in _ALL:
            os.environ.pop(variable, None)
        os.environ[PINNED_BY[maker]] = _name_on_this_node(given)
    elif _AMD_DRIVER.exists() and given:
        for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
            os.environ.pop(variable, None)


def _name_on_this_node(given: str) -> str:
    text = os.environ.get(GPUS, "")
    if text == OF_THE_JOB:  # the pool is Parsl's own, which has noted nothing
        return given
    listed = [name.strip() for name in text.split(",") if name.strip()]
    return listed[int(given)] if given.isdigit() and int(given) < len(listed) else given
