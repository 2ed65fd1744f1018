"""A problem that one of the workers of a node cannot evaluate, as with a GPU that is broken."""

import os
import time

from parsl_tl.problems.problem import Problem


class BrokenWorker(Problem):
    """Networks are as good as the sum of their choices; nothing is trained."""

    name = "broken-worker"
    input_shape = (4,)
    output_shape = (2,)

    def _load(self):
        raise NotImplementedError  # there is no data

    def look_up(self, space, arch_seq):
        time.sleep(0.2)
        if os.environ["PARSL_WORKER_RANK"] == "1":
            raise RuntimeError("cuDNN failed to load: version 8 where 9 is needed")
        return {"objective": float(sum(arch_seq)), "seconds": 0.2}
