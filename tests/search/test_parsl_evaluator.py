"""The evaluator on real HighThroughputExecutor workers, driven by DeepHyper's own searches."""

import gc
import os
import sys

import parsl
import pytest
from deephyper.evaluator import HPOJob
from deephyper.hpo import HpProblem, RandomSearch

from parsl_tl import ParslEvaluator, load_config
from parsl_tl.errors import ConfigError, InvalidValueError

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow


def test_without_a_configuration_the_error_says_what_to_load():
    with pytest.raises(ConfigError, match=r"parsl\.load"):
        ParslEvaluator(lambda parameters: 0.0)


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    config = load_config(
        "local", max_workers=2, run_dir=str(tmp_path_factory.mktemp("parsl")), retries=1
    )
    with parsl.load(config):
        yield


def problem():
    space = HpProblem()
    space.add_hyperparameter((0, 1000), "x")
    return space


def search(run, tmp_path, max_evals, **kwargs):
    evaluator = ParslEvaluator(run, **kwargs)
    random = RandomSearch(problem(), random_state=1, log_dir=str(tmp_path))
    return random.search(evaluator, max_evals=max_evals, max_evals_strict=True)


@pytest.mark.usefixtures("workers")
def test_evaluations_run_in_the_workers(tmp_path):
    def run(parameters):
        import os

        return {"objective": parameters["x"] * 2.0, "metadata": {"pid": os.getpid()}}

    frame = search(run, tmp_path, 8)
    assert len(frame) == 8
    assert (frame["objective"].astype(float) == frame["p:x"] * 2).all()
    assert os.getpid() not in set(frame["m:pid"])


@pytest.mark.usefixtures("workers")
def test_as_many_at_a_time_as_there_are_workers():
    assert ParslEvaluator(lambda parameters: 0.0).num_workers == 2


@pytest.mark.usefixtures("workers")
def test_a_task_that_raises_is_a_failed_evaluation_with_its_reason(tmp_path):
    def run(parameters):
        if parameters["x"] % 2:
            raise ValueError(f"odd: {parameters['x']}")
        return float(parameters["x"])

    frame = search(run, tmp_path, 10)
    failed = frame[frame["p:x"] % 2 == 1]
    assert len(frame) == 10
    assert 0 < len(failed) < 10
    assert set(failed["objective"]) == {"F_Value"}
    assert failed["m:error"].str.contains("odd").all()


@pytest.mark.usefixtures("workers")
def test_a_killed_worker_costs_no_evaluation(tmp_path):
    marker = tmp_path / "killed"

    def run(parameters, marker):
        import os
        import signal

        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return float(parameters["x"])
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    frame = search(run, tmp_path, 6, run_function_kwargs={"marker": str(marker)})
    assert marker.exists()
    assert (frame["objective"].astype(float) == frame["p:x"]).all()


@pytest.mark.usefixtures("workers")
def test_an_evaluation_that_kills_every_worker_fails_and_the_others_do_not(tmp_path):
    def run(parameters, victims):
        import os
        import signal

        # The first to come is deadly for good.
        try:
            descriptor = os.open(victims, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(descriptor, str(parameters["x"]).encode())
            os.close(descriptor)
        except FileExistsError:
            pass  # somebody else is the victim
        with open(victims) as file:
            if file.read() == str(parameters["x"]):
                os.kill(os.getpid(), signal.SIGKILL)
        return float(parameters["x"])

    frame = search(run, tmp_path, 5, run_function_kwargs={"victims": str(tmp_path / "victim")})
    assert len(frame) == 5
    lost = frame[frame["objective"].astype(str) == "F_WorkerLost"]
    assert len(lost) == 1


@pytest.mark.usefixtures("workers")
def test_an_evaluation_that_takes_too_long_fails(tmp_path):
    def run(parameters):
        import time

        if parameters["x"] % 2:
            for _ in range(600):
                time.sleep(0.1)
        return float(parameters["x"])

    # A worker loads what it needs with its first evaluation, which takes a while on a busy machine.
    search(lambda parameters: 0.0, tmp_path, 8)
    frame = search(run, tmp_path, 6, evaluation_timeout=5)
    slow = frame[frame["p:x"] % 2 == 1]
    assert len(slow) > 0
    assert set(slow["objective"]) == {"F_EvaluationTimeout"}
    assert frame[frame["p:x"] % 2 == 0]["objective"].astype(float).ge(0).all()


class Launches:
    """A callback that counts, and the moment of Ctrl-C: in the middle of a submission."""

    def __init__(self, evaluator, interrupted):
        self.calls = []
        ((label, app),) = evaluator._dispatcher._apps.items()

        def submit(*args, **kwargs):
            self.calls.append("submit")
            if self.calls.count("submit") == interrupted:
                raise KeyboardInterrupt
            return app(*args, **kwargs)

        evaluator._dispatcher._apps[label] = submit

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *_: self.calls.append(name)


@pytest.mark.parametrize("explicitly", [True, False])
@pytest.mark.parametrize("interrupted", [1, 2, 5])
@pytest.mark.usefixtures("workers")
def test_an_interrupted_search_ends_quietly(tmp_path, monkeypatch, caplog, interrupted, explicitly):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    evaluator = ParslEvaluator(lambda parameters: 0.0)
    launches = Launches(evaluator, interrupted)
    evaluator._callbacks.append(launches)
    random = RandomSearch(problem(), random_state=1, log_dir=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        random.search(evaluator, max_evals=20)
    so_far = list(launches.calls)
    if explicitly:
        evaluator.abandon()
    del evaluator, random
    gc.collect()
    assert launches.calls == so_far
    assert [str(each.exc_value) for each in unraisable] == []
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.usefixtures("workers")
def test_a_timeout_must_be_positive():
    with pytest.raises(InvalidValueError, match="evaluation_timeout"):
        ParslEvaluator(lambda parameters: 0.0, evaluation_timeout=0)


def odd_run(parameters):
    """Fails in another way for each remainder of x."""
    import os
    import sys

    class ApiError(Exception):  # cannot be unpickled: it passes on one of its two arguments
        def __init__(self, code, operation):
            super().__init__(f"{operation}: {code}")

    class SilentError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

        __repr__ = __str__

    class Poison:
        def __reduce__(self):
            return (os.path.join, (1,))  # raises where it is read

    class Unwilling:
        def __reduce__(self):
            raise RuntimeError("not me")

    kind = parameters["x"] % 10
    if kind == 0:
        raise ApiError(503, "GetObject")
    if kind == 1:
        raise SilentError
    if kind == 2:
        raise ValueError("x" * 1_000_000)
    if kind == 3:
        sys.exit("enough")
    if kind == 4:
        raise KeyboardInterrupt
    if kind == 5:
        try:
            raise ApiError(404, "HeadObject")
        except ApiError as error:
            raise OSError("gone") from error
    return [None, (n for n in range(3)), Poison(), Unwilling()][kind - 6]


ODD = {
    0: ("F_Api", "GetObject: 503"),
    1: ("F_Silent", "RuntimeError in its __str__"),
    2: ("F_Value", "xxx"),
    3: ("F_SystemExit", "enough"),
    4: ("F_KeyboardInterrupt", "KeyboardInterrupt"),
    5: ("F_OS", "gone"),
    6: ("F_InvalidResult", "NoneType"),
    7: ("F_Type", "cannot be sent"),
    8: ("F_Type", "cannot be read here"),
    9: ("F_Runtime", "cannot be sent: not me"),
}


@pytest.mark.usefixtures("workers")
def test_whatever_a_run_function_does_is_an_evaluation_with_its_reason(tmp_path):
    evaluator = ParslEvaluator(odd_run)
    evaluator._job_class = HPOJob  # as a search sets it; none proposes each of these for certain
    evaluator.submit([{"x": kind} for kind in ODD])
    jobs = {job.args["x"]: job for job in evaluator.gather("ALL")}
    evaluator.close()
    assert {kind: jobs[kind].output["objective"] for kind in ODD} == {
        kind: reason for kind, (reason, _) in ODD.items()
    }
    for kind, (_, text) in ODD.items():
        assert text in jobs[kind].metadata["error"]
        assert len(jobs[kind].metadata["error"]) <= 2100


@pytest.mark.usefixtures("workers")
def test_a_run_function_that_cannot_travel_fails_and_says_so(tmp_path):
    numbers = (number for number in range(3))
    frame = search(lambda parameters: next(numbers), tmp_path, 2)
    assert set(frame["objective"]) == {"F_Type"}
    assert frame["m:error"].str.contains("cannot be sent").all()


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("result", [{"loss": 1.0}, {"objective": None}, [], {1, 2}, object()])
def test_a_result_without_an_objective_is_a_failure(tmp_path, result):
    frame = search(lambda parameters: result, tmp_path, 2)
    assert set(frame["objective"]) == {"F_InvalidResult"}
