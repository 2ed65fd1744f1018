"""The program ``parsl-tl`` with evaluations that sleep in place of training, for fault tests."""

import os
import sys

import parsl_tl.search.campaign
from parsl_tl.cli import main


def sleep(job, **settings):
    import os
    import time
    from pathlib import Path

    from parsl_tl.training.report import TrainingReport

    time.sleep(0.3)
    with open(Path(os.environ["FOLDER"]) / "evaluated", "a") as file:
        file.write(f"{job['job']} {os.environ['PARSL_WORKER_BLOCK_ID']} {os.getpid()}\n")
    return TrainingReport(objective=float(job["job"]), model_id=job["model_id"]).output()


if __name__ == "__main__":
    parsl_tl.search.campaign.run_transfer_trainer = sleep
    os.environ["PARSL_TL_WORKER_START"] = "off"  # it needs no framework
    sys.exit(main(sys.argv[1:]))
