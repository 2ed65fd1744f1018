"""Endpoints of Globus Compute, as far as they can be tried without the service."""

import pickle
import uuid
from concurrent.futures import ThreadPoolExecutor

import parsl
import pytest

from parsl_tl import ParslEvaluator, load_config
from parsl_tl.errors import ConfigError, InvalidValueError

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
            import traceback

            function = self.packer.deserialize(code)
            args, kwargs = self.packer.deserialize(packed)
            try:
                return function(*args, **kwargs)
            except Exception:
                raise TaskExecutionFailed(traceback.format_exc()) from None

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


def lose_the_worker():
    from parsl.executors.high_throughput.errors import WorkerLost

    raise WorkerLost(3, "node")


def test_what_becomes_of_the_machinery_is_known_by_its_text(kernel):
    from parsl_tl.federation.infrastructure import is_infrastructure

    app = parsl.python_app(lose_the_worker, executors=["endpoint"], data_flow_kernel=kernel)
    error = app().exception()
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
