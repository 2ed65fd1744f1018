import os

import pytest

from parsl_tl import gpu_pinning


@pytest.mark.parametrize("is_amd", [True, False])
def test_an_amd_gpu_is_filtered_once(monkeypatch, tmp_path, is_amd):
    driver = tmp_path / "kfd"
    if is_amd:
        driver.touch()
    monkeypatch.setattr(gpu_pinning, "_AMD_DRIVER", driver)
    names = ("ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
    for name in names:
        monkeypatch.setenv(name, "3")
    gpu_pinning.filter_gpus_once()
    left = [name for name in names if name in os.environ]
    assert left == (["ROCR_VISIBLE_DEVICES"] if is_amd else list(names))


@pytest.mark.parametrize(
    ("accelerator", "variable"),
    [
        ("cuda", "CUDA_VISIBLE_DEVICES"),
        ("rocm", "ROCR_VISIBLE_DEVICES"),
        ("xpu", "ZE_AFFINITY_MASK"),
    ],
)
@pytest.mark.parametrize(
    ("of_the_job", "of_the_pool", "name"),
    [
        (None, "2,3", "1"),  # a name, as the configuration has it
        (gpu_pinning.OF_THE_JOB, None, "1"),
        (gpu_pinning.OF_THE_JOB, "6,7", "7"),
        (gpu_pinning.OF_THE_JOB, "GPU-5f1c,GPU-77aa", "GPU-77aa"),
    ],
)
def test_a_worker_keeps_its_own_gpu(
    monkeypatch, accelerator, variable, of_the_job, of_the_pool, name
):
    names = (*gpu_pinning.PINNED_BY.values(), "HIP_VISIBLE_DEVICES")
    for other in names:
        monkeypatch.setenv(other, "")
        monkeypatch.delenv(other)
    monkeypatch.setenv("PARSL_TL_ACCELERATOR", accelerator)
    monkeypatch.setenv("PARSL_TL_GPUS", of_the_job or "")
    if of_the_pool:
        monkeypatch.setenv(variable, of_the_pool)
    gpu_pinning.note_gpus_of_the_job()
    for other in names:
        monkeypatch.setenv(other, "1")  # as Parsl does in a worker
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # where it counts GPUs itself
    monkeypatch.setenv("PARSL_WORKER_RANK", "3")
    gpu_pinning.filter_gpus_once()
    assert {other: os.environ[other] for other in names if other in os.environ} == {variable: name}
