"""Endpoints of Globus Compute, as far as they can be tried without the service."""

import pickle
import uuid
from concurrent.futures import ThreadPoolExecutor

import parsl
import pytest

from parsl_tl import ParslEvaluator, load_config
from parsl_tl.errors import ConfigError, InvalidValueError

LOST = "parsl.executors.high_throughput.errors.WorkerLost: Task failure due to loss of worker 3"
ENDPOINT = str(uuid.UUID(int=7))


def test_what_is_missing_is_told():
    with pytest.raises(ConfigError, match="endpoint's id"):
        load_config("globus")


@pytest.fixture
def kernel(tmp_path):
    """The SDK's executor, with threads of this process in place of service and endpoint."""
    sdk = pytest.importorskip("globus_compute_sdk")
    from globus_compute_sdk.errors import TaskExecutionFailed
    from globus_compute_sdk.serialize import ComputeSerializer

    from parsl_tl.sites.executor import search_config
    from parsl_tl.sites.globus import EndpointExecutor

    class Here(sdk.Executor):
        def __init__(self):
            self.resource_specification = self.user_endpoint_config = None
            self.threads = ThreadPoolExecutor(2)
            self.packer = ComputeSerializer()

        def submit(self, function, *args, **kwargs):
            packed = self.packer.serialize((args, kwargs))
            code = self.packer.serialize(function)
            return self.threads.submit(self.run, code, packed)

        def run(self, code, packed):
            args, kwargs = self.packer.deserialize(packed)
            if args == ("lost",):  # what an endpoint tells when it has lost a worker
                raise TaskExecutionFailed(f"Traceback (most recent call last):\n{LOST}\n")
            return self.packer.deserialize(code)(*args, **kwargs)

        def shutdown(self, *args, **kwargs):
            self.threads.shutdown()

        def _get_result_watcher(self):
            return self.threads

        def __repr__(self):
            return "Here()"

    executor = EndpointExecutor(Here(), "endpoint", 2)
    config = search_config(executor, str(tmp_path / "parsl"), retries=0)
    with parsl.load(config) as kernel:
        yield kernel
    parsl.clear()


def odd(parameters):
    if parameters["x"] % 2:
        raise ValueError(f"odd: {parameters['x']}")
    return float(parameters["x"])


def test_a_search_runs_on_an_endpoint(kernel, tmp_path):
    from deephyper.hpo import HpProblem, RandomSearch

    problem = HpProblem()
    problem.add_hyperparameter((0, 1000), "x")
    evaluator = ParslEvaluator(odd, kernel=kernel)
    assert evaluator.num_workers == 2
    search = RandomSearch(problem, random_state=1, log_dir=str(tmp_path))
    frame = search.search(evaluator, max_evals=8, max_evals_strict=True)
    failed = frame["p:x"] % 2 == 1
    assert 0 < failed.sum() < 8
    assert set(frame["objective"][failed]) == {"F_Value"}
    assert frame["m:error"][failed].str.contains("odd").all()


def test_what_is_too_large_is_refused_before_it_is_sent(kernel):
    app = parsl.python_app(len, executors=["endpoint"], data_flow_kernel=kernel)
    assert app(bytes(1000)).result() == 1000
    with pytest.raises(InvalidValueError, match=r"10\.0 MB cannot be sent .* from a store"):
        app(bytes(10_000_000)).result()


def test_what_becomes_of_the_machinery_is_known_by_its_text(kernel):
    from parsl_tl.federation.infrastructure import is_infrastructure

    app = parsl.python_app(len, executors=["endpoint"], data_flow_kernel=kernel)
    error = app("lost").exception()
    assert is_infrastructure(error)
    assert "WorkerLost" in str(error)
    assert pickle.loads(pickle.dumps(error)).args


def test_the_options_of_an_endpoint_of_several_users():
    pytest.importorskip("globus_compute_sdk")
    from unittest import mock

    with mock.patch("globus_compute_sdk.Executor") as made:
        config = load_config("globus", endpoint=ENDPOINT, account="mine", max_workers=4)
    assert made.call_args.kwargs["endpoint_id"] == ENDPOINT
    assert made.call_args.kwargs["user_endpoint_config"] == {"account": "mine"}
    (executor,) = config.executors
    assert executor.max_threads == 4
