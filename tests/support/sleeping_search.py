"""A search whose evaluations sleep: ``python sleeping_search.py FOLDER MAX_EVALS``.

Every evaluation that comes to its end leaves a line in the folder's ``evaluated``; the search
leaves its results in ``results.json``.
"""

import json
import os
import sys
from pathlib import Path

from parsl_tl import ParslEvaluator, load_config
from parsl_tl.exit_codes import run_program
from parsl_tl.parsl_kernel import parsl_kernel
from parsl_tl.stop_signals import stopping_in_order

CONFIG = Path(__file__).parent / "fault_config.py"


def run(parameters, evaluated):
    import os
    import time

    time.sleep(0.3)
    with open(evaluated, "a") as file:
        file.write(f"{parameters['x']} {os.environ['PARSL_WORKER_BLOCK_ID']} {os.getpid()}\n")
    return float(parameters["x"])


def main():
    from deephyper.hpo import HpProblem, RandomSearch

    folder, max_evals = Path(sys.argv[1]), int(sys.argv[2])
    problem = HpProblem()
    problem.add_hyperparameter((0.0, 1.0), "x")
    search = RandomSearch(problem, random_state=1, log_dir=str(folder))
    config = load_config(CONFIG, max_workers=2, run_dir=str(folder / "parsl"))
    with stopping_in_order(), parsl_kernel(config):
        evaluator = ParslEvaluator(
            run,
            num_workers=2 if os.environ["FAULT"] == "spare-worker" else None,
            run_function_kwargs={"evaluated": str(folder / "evaluated")},
            max_losses=3,
        )
        frame = search.search(evaluator, max_evals=max_evals, max_evals_strict=True)
    (folder / "results.json").write_text(json.dumps(frame["objective"].tolist()))


if __name__ == "__main__":
    sys.exit(run_program(main))
