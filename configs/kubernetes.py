"""Any Kubernetes cluster: a block is a pod; needs the extra `kubernetes`.

Unconfirmed on a cluster. The image has this package, at the driver's version of Python, and the
pods reach the driver's address. They share no file system with it, so that messages are not
encrypted, and the store is one of servers.
"""

from __future__ import annotations

import parsl

from parsl_tl.errors import ConfigError
from parsl_tl.sites.executor import exports, search_config, search_executor, thread_environment
from parsl_tl.sites.gpus import share_gpus


def config(
    *,
    image: str = "",
    namespace: str = "default",
    max_blocks: int = 1,
    cpus: int = 2,
    memory: str = "8Gi",
    gpus: int = 0,
    workers_per_gpu: int = 1,
    volume: str | None = None,
    mount: str = "/data",
    max_workers: int | None = None,
    worker_init: str = "",
    address: str | None = None,
    run_dir: str = "runinfo",
    retries: int = 2,
) -> parsl.Config:
    """Returns the configuration.

    Args:
        image: of the pods.
        namespace: of the pods.
        max_blocks: pods at the same time.
        cpus: of a pod.
        memory: of a pod.
        gpus: of a pod, as ``nvidia.com/gpu``.
        workers_per_gpu: workers that share a GPU.
        volume: claim of a persistent volume for the pods.
        mount: where they see it.
        max_workers: of a pod; by default one per GPU, or per CPU without GPUs.
        worker_init: lines that a pod runs before its workers start.
        address: of this machine, for the pods.
        run_dir: where Parsl writes its logs.
        retries: how often a task is tried again when its worker is lost.
    """
    from parsl.errors import OptionalModuleMissing
    from parsl.providers import KubernetesProvider

    if not image:
        raise ConfigError("kubernetes: give the image of the pods, as in -o image=registry/name")
    devices = share_gpus([str(number) for number in range(gpus)], workers_per_gpu)
    workers = max_workers or len(devices) or cpus
    environment = thread_environment(max(1, cpus // workers))
    if gpus:
        environment["PARSL_TL_ACCELERATOR"] = "cuda"
    wanted = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    try:
        provider = KubernetesProvider(
            image=image,
            namespace=namespace,
            init_blocks=1,
            max_blocks=max_blocks,
            max_cpu=cpus,
            init_cpu=cpus,
            max_mem=memory,
            init_mem=memory,
            extra_limits=wanted,
            extra_requests=wanted,
            persistent_volumes=[(volume, mount)] if volume else [],
            worker_init="\n".join([*exports(environment), *([worker_init] if worker_init else [])]),
        )
    except OptionalModuleMissing as error:
        raise ConfigError(
            "kubernetes: `pip install kubernetes` first, or the extra `kubernetes`"
        ) from error
    executor = search_executor(
        provider,
        label="kubernetes",
        workers=workers,
        devices=devices,
        address=address,
        encrypted=False,  # the keys would lie in files that a pod does not see
        worker_logdir_root="/tmp",
    )
    return search_config(executor, run_dir, retries)
