import os
import subprocess
import sys

import parsl
import pytest

from parsl_tl import load_config
from parsl_tl.configuration import list_configs
from parsl_tl.errors import ConfigError


def test_configs_that_come_with_the_package_load_by_name():
    names = [config.name for config in list_configs()]
    assert "local" in names
    for config in list_configs():
        assert config.summary
    for name in ("local", "local_mpi"):
        assert isinstance(load_config(name), parsl.Config)


def test_a_config_is_found_from_anywhere(tmp_path):
    code = "from parsl_tl import load_config; print(load_config('local').executors[0].label)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "workers"


def test_one_worker_per_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    (executor,) = load_config("local").executors
    assert executor.max_workers_per_node == 3
    assert len(executor.available_accelerators) == 3


@pytest.mark.parametrize(
    ("variable", "listed", "workers", "names"),
    [
        ("CUDA_VISIBLE_DEVICES", "2,3", None, ["2", "3"]),
        ("CUDA_VISIBLE_DEVICES", "3, 1", None, ["3", "1"]),
        ("CUDA_VISIBLE_DEVICES", "GPU-5f1c,GPU-77aa", 1, ["GPU-5f1c"]),
        ("CUDA_VISIBLE_DEVICES", "5,-1,6", None, ["5"]),
        ("CUDA_VISIBLE_DEVICES", "-1", None, []),
        ("ROCR_VISIBLE_DEVICES", "6,7", None, ["6", "7"]),
        ("HIP_VISIBLE_DEVICES", "4", None, ["4"]),
    ],
)
def test_workers_use_the_gpus_that_are_listed(monkeypatch, variable, listed, workers, names):
    for other in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, listed)
    (executor,) = load_config("local", max_workers=workers).executors
    assert executor.available_accelerators == names
    assert not names or executor.max_workers_per_node == len(names)


@pytest.mark.parametrize(
    ("options", "names", "share"),
    [
        ({"workers_per_gpu": 2}, ["2", "2", "3", "3"], "0.45"),
        ({"max_workers": 3}, ["2", "2", "3"], "0.45"),
        ({"max_workers": 8, "workers_per_gpu": 3}, ["2"] * 3 + ["3"] * 3, "0.3"),
        ({"max_workers": 8, "workers_per_gpu": 1}, ["2", "3"], None),
        ({"max_workers": 2}, ["2", "3"], None),
    ],
)
def test_workers_share_gpus_and_their_memory(monkeypatch, options, names, share):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    (executor,) = load_config("local", **options).executors
    assert executor.available_accelerators == names
    assert executor.max_workers_per_node == len(names)
    told = f"PARSL_TL_GPU_SHARE={share}" in executor.provider.worker_init
    assert told is (share is not None)


def visible_devices(folder):
    """Returns the worker's devices once another worker has said what it has."""
    import os
    import time
    from pathlib import Path

    (Path(folder) / str(os.getpid())).touch()
    while len(list(Path(folder).iterdir())) < 2:
        time.sleep(0.01)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.slow
def test_real_workers_see_the_gpus_that_were_listed(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    config = load_config("local", run_dir=str(tmp_path / "runs"))
    here = tmp_path / "here"
    here.mkdir()
    with parsl.load(config) as kernel:
        app = parsl.python_app(visible_devices, data_flow_kernel=kernel, cache=False)
        seen = [future.result() for future in [app(str(here)) for _ in range(2)]]
    assert sorted(seen) == ["2", "3"]


def test_threads_match_the_cores_of_a_worker(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    cores = len(os.sched_getaffinity(0))
    for workers in (1, cores):
        (executor,) = load_config("local", max_workers=workers).executors
        assert f"TF_NUM_INTRAOP_THREADS={cores // workers}" in executor.provider.worker_init


def test_a_users_own_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import parsl\ndef config(label='a'):\n"
        "    return parsl.Config(executors=[parsl.ThreadPoolExecutor(label=label)])\n"
    )
    assert load_config(path, label="b").executors[0].label == "b"
    with pytest.raises(ConfigError, match="nope"):
        load_config(path, nope=1)
    path.write_text("x = 1\n")
    with pytest.raises(ConfigError, match="no function"):
        load_config(path)
    path.write_text("1 / 0  # of another size, so that what was compiled is not taken for it\n")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        load_config(path)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"choose from .*local"):
        load_config("perlmutta")
    with pytest.raises(ConfigError, match="no such"):
        load_config("/nowhere/x.py")
