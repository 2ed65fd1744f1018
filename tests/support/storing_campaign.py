"""The program ``parsl-tl`` with evaluations that do all with the store but train: for fault tests.

They need no framework: weights of the right size stand in for trained ones.
"""

import os
import sys

import parsl_tl.search.campaign
from parsl_tl.cli import main


def store(job, **settings):
    import time

    import numpy as np

    from parsl_tl.architecture.parameter_count import parameter_count
    from parsl_tl.spaces import get_space
    from parsl_tl.training.report import TrainingReport
    from parsl_tl.transfer.connections import connect

    space = get_space(settings["space"], **settings["space_args"])
    graph = space.build(job["arch_seq"], (64,), (10,))
    models = connect(settings["store"])
    donor = models.find_donor(graph) if job.get("parent") is not None else None
    shared = set(donor.layer_names) if donor is not None else set()
    if donor is not None:
        models.read(donor.model_id, donor.layer_names)
    sizes = dict(zip(graph.layer_names, map(parameter_count, graph.layers), strict=True))
    own = {n: [np.ones(size, "f4")] for n, size in sizes.items() if size and n not in shared}
    source = None if donor is None else donor.model_id
    models.put(
        job["model_id"], graph, own, quality=float(job["job"]), parent=job["parent"], donor=source
    )
    time.sleep(0.3)
    report = TrainingReport(objective=float(job["job"]), model_id=job["model_id"])
    report.layers_transferred = len(shared)
    return report.output()


if __name__ == "__main__":
    parsl_tl.search.campaign.run_transfer_trainer = store
    os.environ["PARSL_TL_WORKER_START"] = "off"  # it needs no framework
    sys.exit(main(sys.argv[1:]))
