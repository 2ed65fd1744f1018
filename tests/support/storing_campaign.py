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
    from parsl_tl.training.job import EvaluationJob
    from parsl_tl.training.report import TrainingReport
    from parsl_tl.transfer.connections import connect

    evaluation = EvaluationJob.read(job, settings)
    graph = evaluation.graph()
    models = connect(settings["store"])
    donor = models.find_donor(graph) if evaluation.parent is not None else None
    shared = set(donor.layer_names) if donor is not None else set()
    if donor is not None:
        models.read(donor.model_id, donor.layer_names)
    sizes = dict(zip(graph.layer_names, map(parameter_count, graph.layers), strict=True))
    own = {n: [np.ones(size, "f4")] for n, size in sizes.items() if size and n not in shared}
    source = None if donor is None else donor.model_id
    ids = {"model_id": evaluation.model_id, "parent": evaluation.parent}
    quality = float(job["job"])
    models.put(graph=graph, weights=own, quality=quality, donor=source, **ids)
    time.sleep(0.3)
    report = TrainingReport(objective=quality, **ids)
    report.layers_transferred = len(shared)
    return report.output()


if __name__ == "__main__":
    parsl_tl.search.campaign.run_transfer_trainer = store
    os.environ["PARSL_TL_WORKER_START"] = "off"  # it needs no framework
    sys.exit(main(sys.argv[1:]))
