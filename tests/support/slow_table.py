"""A problem whose results are looked up, and take their time: evaluations without training."""

import os
import time
from pathlib import Path

from parsl_tl.gpu_pinning import filter_gpus_once
from parsl_tl.problems.problem import Problem


class SlowTable(Problem):
    """Networks are as good as the sum of their choices.

    Args:
        folder: every evaluation that comes to its end leaves a line in its file ``evaluated``.
        seconds: of an evaluation.
        nodes: an evaluation waits until there has been one on so many.
    """

    name = "slow-table"
    input_shape = (4,)
    output_shape = (2,)

    def __init__(self, *, folder: str, seconds: float = 0.5, nodes: int = 1) -> None:
        super().__init__()
        self.folder = folder
        self.seconds = seconds
        self.nodes = nodes

    def _load(self):
        raise NotImplementedError  # there is no data

    def look_up(self, space, arch_seq):
        filter_gpus_once()  # as before a framework is loaded
        folder = Path(self.folder)
        rank = os.environ.get("SLURM_PROCID") or os.environ.get("PMI_RANK")
        (folder / f"node.{rank}").touch()
        while len(list(folder.glob("node.*"))) < self.nodes:
            time.sleep(0.1)
        time.sleep(self.seconds)
        with open(folder / "evaluated", "a") as file:
            gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
            file.write(f"{os.environ['PARSL_WORKER_BLOCK_ID']} {rank} {gpu}\n")
        return {"objective": float(sum(arch_seq)), "seconds": self.seconds}
