"""Workers are counted as Parsl starts them, from configurations as sites write them."""

import os
from types import SimpleNamespace

import parsl
import pytest
from parsl.executors import HighThroughputExecutor, MPIExecutor, ThreadPoolExecutor
from parsl.launchers import SimpleLauncher, SrunLauncher
from parsl.providers import LocalProvider, SlurmProvider

from parsl_tl import ParslEvaluator, load_config
from parsl_tl.errors import ConfigError
from parsl_tl.federation.worker_count import evaluation_executors, num_workers_of


def kernel(*executors):
    """As much of a kernel as is looked at: no worker has to be started to be counted."""
    return SimpleNamespace(executors={executor.label: executor for executor in executors})


def nodes(blocks=4, **kwargs):
    return SlurmProvider(
        "queue",
        nodes_per_block=10,
        init_blocks=0,
        max_blocks=blocks,
        launcher=SrunLauncher(),
        **kwargs,
    )


CORES = int(os.environ.get("PARSL_CORES") or os.cpu_count())


@pytest.mark.parametrize(
    ("executor", "workers"),
    [
        (HighThroughputExecutor(provider=LocalProvider(max_blocks=1)), CORES),
        (HighThroughputExecutor(provider=LocalProvider(max_blocks=3)), 3 * CORES),
        (HighThroughputExecutor(cores_per_worker=0.5, provider=LocalProvider()), 2 * CORES),
        (HighThroughputExecutor(max_workers_per_node=1, provider=LocalProvider()), 1),
        (HighThroughputExecutor(provider=nodes(cores_per_node=128)), 5120),
        (HighThroughputExecutor(cores_per_worker=32, provider=nodes(1, cores_per_node=128)), 40),
        (HighThroughputExecutor(available_accelerators=4, provider=nodes(1)), 40),
        (HighThroughputExecutor(available_accelerators=["a", "b"], provider=nodes(1)), 20),
        (
            HighThroughputExecutor(
                available_accelerators=8,
                max_workers_per_node=6,
                provider=nodes(1, cores_per_node=128),
            ),
            60,
        ),
        (
            HighThroughputExecutor(
                mem_per_worker=100, provider=nodes(1, cores_per_node=128, mem_per_node=256)
            ),
            20,
        ),
        (HighThroughputExecutor(mem_per_worker=10**6, provider=LocalProvider()), 1),
        (
            MPIExecutor(
                max_workers_per_block=5,
                provider=SlurmProvider(
                    "q", nodes_per_block=10, max_blocks=2, launcher=SimpleLauncher()
                ),
            ),
            10,
        ),
        (ThreadPoolExecutor(max_threads=7), 7),
    ],
)
def test_as_many_as_parsl_starts(executor, workers):
    assert num_workers_of(kernel(executor), executor.label) == workers


def test_what_cannot_be_known_is_told(caplog):
    unknown = HighThroughputExecutor(label="far", provider=nodes())
    assert num_workers_of(kernel(unknown)) == 40
    assert "executor far" in caplog.text
    assert "num_workers" in caplog.text


ALL = (
    HighThroughputExecutor(label="gpu", max_workers_per_node=4, cores_per_worker=1e-3),
    HighThroughputExecutor(label="cpu", max_workers_per_node=2, cores_per_worker=1e-3),
    ThreadPoolExecutor(label="threads", max_threads=3),
    MPIExecutor(label="mpi", provider=LocalProvider(launcher=SimpleLauncher())),
    ThreadPoolExecutor(label="_parsl_internal", max_threads=1),
)


def test_threads_and_mpi_run_evaluations_only_where_they_are_named():
    assert evaluation_executors(kernel(*ALL)) == ["gpu", "cpu"]
    assert num_workers_of(kernel(*ALL)) == 6
    assert evaluation_executors(kernel(*ALL), ["threads", "cpu"]) == ["threads", "cpu"]
    assert num_workers_of(kernel(*ALL), ["threads", "cpu"]) == 5
    assert evaluation_executors(kernel(*ALL), "mpi") == ["mpi"]


@pytest.mark.parametrize("named", ["gpus", ["gpu", "gpus"], [], "_parsl_internal"])
def test_a_label_that_is_not_there_is_told_with_those_that_are(named):
    with pytest.raises(ConfigError, match="choose from gpu, cpu, threads, mpi"):
        evaluation_executors(kernel(*ALL), named)


def test_a_configuration_of_threads_alone_is_refused_until_they_are_named():
    with pytest.raises(ConfigError, match=r"\(threads\).*executors="):
        evaluation_executors(kernel(ThreadPoolExecutor(label="threads")))


@pytest.mark.slow
def test_no_evaluation_runs_in_threads_beside_workers(tmp_path):
    config = load_config("local", max_workers=2, run_dir=str(tmp_path))
    config._executors = [*config.executors, ThreadPoolExecutor(label="threads", max_threads=2)]

    def run(job):
        import os

        return {"objective": 0.0, "metadata": {"pid": os.getpid()}}

    with parsl.load(config):
        processes = {}
        for executors in ("all", "threads"):
            evaluator = ParslEvaluator(run, executors=executors)
            assert evaluator.num_workers == 2
            evaluator.submit([{"x": number} for number in range(12)])
            jobs = evaluator.gather("ALL")
            evaluator.close()
            processes[executors] = {job.metadata["pid"] for job in jobs}
    assert os.getpid() not in processes["all"]
    assert processes["threads"] == {os.getpid()}
