"""A pytest plugin for DeepHyper's own tests: its evaluators' places are taken by ParslEvaluator."""

import inspect
import os
import tempfile
from pathlib import Path

import deephyper.evaluator
import parsl
import pytest
from deephyper.evaluator import Evaluator

from parsl_tl import ParslEvaluator, load_config

_PLACES = {
    "serial": "SerialEvaluator",
    "thread": "ThreadPoolEvaluator",
    "process": "ProcessPoolEvaluator",
    "loky": "LokyEvaluator",
}
_WORKERS = 4


class OnParsl(ParslEvaluator):
    """With DeepHyper's default of one worker, which tests of the order of results rely on."""

    def __init__(self, run_function, num_workers=1, **kwargs):
        super().__init__(run_function, num_workers, **kwargs)


class SerialOnParsl(OnParsl):
    """The one class whose tests want synchronous run functions refused."""

    def __init__(self, run_function, num_workers=1, **kwargs):
        self.loop = None
        if not inspect.iscoroutinefunction(run_function):
            raise ValueError("not a coroutine function")
        super().__init__(run_function, num_workers, **kwargs)


def _create(own):
    def create(run_function, method="serial", method_kwargs=None):
        if method not in _PLACES:
            return own(run_function, method, method_kwargs or {})
        evaluator = SerialOnParsl if method == "serial" else OnParsl
        return evaluator(run_function, **(method_kwargs or {}))

    return create


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    # Run functions of test modules are sent by name; DeepHyper's processes are forked.
    folders = [path for path in Path("tests").resolve().rglob("*") if path.is_dir()]
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, folders), known])
    scratch = tempfile.mkdtemp(prefix="parsl-")
    config = load_config("local", max_workers=_WORKERS, run_dir=scratch)
    config.executors[0].cores_per_worker = 1e-3  # this number, whatever the machine has
    parsl.load(config)
    for method, name in _PLACES.items():
        replacement = SerialOnParsl if method == "serial" else OnParsl
        setattr(deephyper.evaluator, name, replacement)
    Evaluator.create = staticmethod(_create(Evaluator.create))
    # Some tests time a search, and would time the start of the workers with it.
    evaluator = OnParsl(_import_deephyper, _WORKERS)
    evaluator.submit([{"x": number} for number in range(4 * _WORKERS)])
    evaluator.gather("ALL")
    evaluator.close()


def _import_deephyper(job):
    import time

    import deephyper.hpo  # noqa: F401

    time.sleep(0.5)
    return 0.0


def pytest_sessionfinish(session):
    parsl.dfk().cleanup()
