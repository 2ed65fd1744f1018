"""What a worker has loaded before its first evaluation; see ``parsl_tl.worker_start``."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any, Final

from parsl_tl.lazy_imports import load_lazily
from parsl_tl.problems.problem import Problem
from parsl_tl.problems.registry import find_problem
from parsl_tl.training.job import EvaluationJob
from parsl_tl.training.runtime import configure_threads
from parsl_tl.transfer.connections import connect
from parsl_tl.worker_start import WorkerStart

# What an evaluation imports on its way, beside what these import.
_MODULES: Final = (
    *("parsl_tl.training.run", "parsl_tl.search.running_job", "parsl_tl.store.embedded"),
    *("parsl_tl.transfer.store", "parsl_tl.architecture.keras_model", "pyarrow", "h5py"),
)


def worker_start(
    problem: Problem, settings: dict[str, Any], modules: Sequence[str] = ()
) -> WorkerStart | None:
    """Returns what the workers of a search need before their first evaluation.

    Args:
        problem: of the search.
        settings: what all evaluations share; see ``run_transfer_trainer``.
        modules: to import beside what every evaluation needs.

    Returns:
        None for a problem whose results are looked up: its workers need no framework.
    """
    if type(problem).look_up is not Problem.look_up:
        return None
    here = __name__
    arguments = {**settings, "modules": list(modules)} if modules else settings
    return WorkerStart(f"{here}:import_framework", f"{here}:prepare_worker", arguments)


def framework_start(problem: str) -> WorkerStart:
    """Returns what evaluations need whatever they evaluate.

    Args:
        problem: name of the problem, or of the first one.
    """
    function = f"{__name__}:import_framework"
    return WorkerStart(function, function, {"problem": problem})


def import_framework(modules: Sequence[str] = (), **settings: Any) -> None:
    """Imports what evaluations need, and starts nothing; for the process that workers fork from.

    Other frameworks than TensorFlow start threads as they are imported, and a user's own module may
    do anything: these are left to the workers.

    Args:
        modules: to import beside what every evaluation needs.
        **settings: what all evaluations share.
    """
    load_lazily()
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        importlib.import_module("keras")
    needed = [*_MODULES, *modules]
    if ":" not in settings["problem"]:
        needed += getattr(find_problem(settings["problem"]), "imports", ())
    for module in needed:
        importlib.import_module(module)


def prepare_worker(modules: Sequence[str] = (), **settings: Any) -> None:
    """Sets up the framework, loads the data and opens the store, for this process' evaluations.

    Args:
        modules: that are imported by now.
        **settings: what all evaluations share.
    """
    load_lazily()
    job = EvaluationJob.read({}, settings)
    configure_threads(job.threads)
    job.problem.load()
    job.problem.fingerprint()
    job.check_store()
    if "store" in job.keys.values:
        connect(job.keys.values["store"])
