"""The router on real workers of two sites: speeds, groups, futures, lost workers and sites."""

import os
import time

import parsl
import pytest
from parsl.dataflow.errors import DependencyError
from parsl.executors import ThreadPoolExecutor

from parsl_tl import load_config
from parsl_tl.errors import (
    ConfigError,
    ExecutorsLostError,
    InfrastructureError,
    InvalidValueError,
    ParslTLError,
)
from parsl_tl.federation import Router, federate
from parsl_tl.parsl_kernel import parsl_kernel

pytestmark = pytest.mark.slow


def site_config(name, seconds):
    config = load_config("local", max_workers=1)
    (executor,) = config.executors
    executor.provider.worker_init += f"\nexport SITE={name} SECONDS_PER_TASK={seconds}"
    return config


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    config = federate(
        site_config("fast", 0.05),
        site_config("slow", 0.2),
        names=["fast", "slow"],
        run_dir=str(tmp_path_factory.mktemp("parsl")),
    )
    assert [executor.label for executor in config.executors] == ["fast", "slow"]
    with parsl_kernel(config) as kernel:
        yield kernel


@pytest.fixture
def router(kernel):
    with Router(kernel, groups={"any": ["fast", "slow"], "one": ["slow"]}) as router:
        yield router


def where():
    import os
    import time

    time.sleep(float(os.environ["SECONDS_PER_TASK"]))
    return os.environ["SITE"]


def add(one, other, *, twice=False):
    return (one + other) * (2 if twice else 1)


def kill_worker_once(path):
    import os
    import signal
    from pathlib import Path

    marker = Path(path)
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def test_both_sites_work_by_their_speed(router):
    for label in ("fast", "slow"):  # workers are there
        assert router.submit(where, on=label).result(timeout=300) == label
    begun = time.monotonic()
    sites = [future.result(timeout=300) for future in [router.submit(where) for _ in range(80)]]
    seconds = time.monotonic() - begun
    speeds = router.speeds()
    assert speeds["fast"] < speeds["slow"]
    # By chance each would get half.
    assert 5 <= sites.count("slow") < sites.count("fast")
    assert seconds < 80 * speeds["slow"]


def test_groups_futures_and_errors(router):
    assert router.submit(where, on="one").result(timeout=300) == "slow"
    first = router.submit(add, 1, 2)
    second = router.app(add, on="any")(first, 4, twice=True)
    assert second.result(timeout=300) == 14
    failed = router.submit(add, "text", 1)
    with pytest.raises(TypeError):
        failed.result(timeout=300)
    depends = router.submit(add, failed, 1)
    with pytest.raises(DependencyError):
        depends.result(timeout=300)
    with pytest.raises(InvalidValueError, match="did you mean 'slow'"):
        router.submit(where, on="slwo")
    with pytest.raises(InvalidValueError, match="work is 0"):
        router.submit(where, work=0)


def test_a_lost_worker_costs_a_task_nothing_but_time(router, tmp_path):
    assert router.submit(kill_worker_once, str(tmp_path / "marker")).result(timeout=300) == "done"


def test_what_has_not_ended_when_the_router_is_closed_fails(kernel):
    router = Router(kernel, sites=["slow"])
    futures = [router.submit(where) for _ in range(4)]
    router.close()
    for future in futures:
        with pytest.raises(InfrastructureError, match="closed"):
            future.result(timeout=60)
    with pytest.raises(ParslTLError, match="closed"):
        router.submit(where)


def test_a_site_that_dies_loses_nothing(tmp_path):
    """The interchange of one site is killed while both have tasks."""
    config = federate(
        site_config("left", 0.2),
        site_config("right", 0.2),
        names=["left", "right"],
        run_dir=str(tmp_path),
    )
    with parsl_kernel(config) as kernel, Router(kernel) as router:
        for label in ("left", "right"):
            router.submit(where, on=label).result(timeout=300)
        futures = [router.submit(where) for _ in range(20)]
        futures[3].result(timeout=300)
        kernel.executors["left"].interchange_proc.kill()
        sites = [future.result(timeout=300) for future in futures]
        assert len(sites) == 20
        assert sites[-5:] == ["right"] * 5
        # What only the dead site could run is told so.
        with pytest.raises(ExecutorsLostError, match="left"):
            router.submit(where, on="left").result(timeout=300)


def test_configurations_are_put_together_with_labels_of_their_own():
    def threads(label):
        return parsl.Config(executors=[ThreadPoolExecutor(label=label)], retries=3)

    with pytest.raises(ConfigError, match="labelled workers"):
        federate(threads("workers"), threads("workers"))
    config = federate(threads("workers"), threads("workers"), names=["a", "b"])
    assert [executor.label for executor in config.executors] == ["a", "b"]
    assert config.retries == 3
    with pytest.raises(ConfigError, match="2 configurations have 1 names"):
        federate(threads("a"), threads("b"), names=["a"])
    with pytest.raises(ConfigError, match="none was given"):
        federate()
    assert os.environ.get("SITE") is None


def test_sites_are_told_of_stores_of_their_own():
    configs = [load_config("local", max_workers=1) for _ in range(2)]
    config = federate(*configs, names=["here", "there"], stores=[None, "grpc+tcp://a b:1"])
    here, there = [executor.provider.worker_init for executor in config.executors]
    assert "PARSL_TL_SITE_STORE" not in here
    assert there.endswith("export PARSL_TL_SITE_STORE='grpc+tcp://a b:1'")
    with pytest.raises(ConfigError, match="1 configurations have 2 stores"):
        federate(load_config("local"), stores=[None, None])
    threads = parsl.Config(executors=[ThreadPoolExecutor(label="threads")])
    with pytest.raises(ConfigError, match="executor threads has no provider"):
        federate(threads, stores=["grpc+tcp://a:1"])
