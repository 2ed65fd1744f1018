"""A problem whose results are looked up, and take their time: evaluations without training."""

import os
import random
import time
from pathlib import Path

from parsl_tl.gpu_pinning import filter_gpus_once
from parsl_tl.problems.problem import Problem


class SlowTable(Problem):
    """Networks are as good as the sum of their choices.

    Args:
        folder: every evaluation leaves a line in its file ``begun``, and one in ``evaluated`` when
            it comes to its end.
        seconds: of an evaluation.
        longest: seconds of the longest one; between these, a network takes its own.
        nodes: an evaluation waits until there has been one on so many.
    """

    name = "slow-table"
    input_shape = (4,)
    output_shape = (2,)

    def __init__(
        self, *, folder: str, seconds: float = 0.5, longest: float | None = None, nodes: int = 1
    ) -> None:
        super().__init__()
        self.folder = folder
        self.seconds = seconds
        self.longest = seconds if longest is None else longest
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
        share = random.Random(str(list(arch_seq))).random()
        seconds = self.seconds + share * (self.longest - self.seconds)
        with open(folder / "begun", "a") as file:
            file.write(f"{time.time()} {seconds}\n")
        time.sleep(seconds)
        with open(folder / "evaluated", "a") as file:
            gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
            file.write(f"{os.environ['PARSL_WORKER_BLOCK_ID']} {rank} {gpu}\n")
        return {"objective": float(sum(arch_seq)), "seconds": seconds}
