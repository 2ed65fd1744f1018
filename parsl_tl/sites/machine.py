"""A machine: its facts, and the Parsl configuration that follows from them."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import ConfigError
from parsl_tl.gpu_pinning import GPUS, OF_THE_JOB
from parsl_tl.sites.executor import exports, search_config, search_executor, thread_environment
from parsl_tl.sites.gpus import affinity_list, memory_environment, share_gpus
from parsl_tl.sites.node import Node
from parsl_tl.sites.schedulers import Block, Scheduler
from parsl_tl.suggestions import did_you_mean

if TYPE_CHECKING:
    import parsl

# Starts the service that lets processes share an NVIDIA GPU; of this user and job alone.
_MPS = (
    'export CUDA_MPS_PIPE_DIRECTORY="/tmp/mps-$USER-$$/pipe"',
    'export CUDA_MPS_LOG_DIRECTORY="/tmp/mps-$USER-$$/log"',
    'mkdir -p "$CUDA_MPS_PIPE_DIRECTORY" "$CUDA_MPS_LOG_DIRECTORY"',
    "nvidia-cuda-mps-control -d",
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine, of which ``config`` makes configurations.

    Attributes:
        name: label of its executor.
        scheduler: how it is asked for blocks.
        nodes: its types of nodes, by the queue whose name begins so; the first is the default.
        queue: where blocks go by default.
        walltime: of a block, by default.
        fabric: transport of a store's servers within a job, such as ``ofi+cxi`` on Slingshot, where
            Thallium was compiled in; None for TCP.
        interfaces: network interfaces that compute nodes reach the driver on; the first that is
            there counts, since login and compute nodes may differ. Without any, Parsl tries all
            addresses.
        account: what it is called there and looks like; empty where none is needed.
        setup: lines that a job runs first, such as ``module load``.
        environment: variables of the workers.
        backend: of Keras, where TensorFlow does not run on the machine's GPUs.
    """

    name: str
    scheduler: Scheduler
    nodes: Mapping[str, Node]
    queue: str | None = None
    walltime: str = "01:00:00"
    interfaces: tuple[str, ...] = ()
    fabric: str | None = None
    account: str = ""
    setup: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    backend: str | None = None

    def config(
        self,
        *,
        account: str | None = None,
        queue: str | None = None,
        node: str | None = None,
        walltime: str | None = None,
        nodes_per_block: int | None = None,
        max_blocks: int = 1,
        worker_init: str = "",
        scheduler_options: str = "",
        inside_job: bool = False,
        gpus_per_node: int | None = None,
        workers_per_gpu: int = 1,
        mps: bool = False,
        max_workers: int | None = None,
        drain_seconds: int = 0,
        address: str | None = None,
        run_dir: str = "runinfo",
        retries: int = 2,
    ) -> parsl.Config:
        """Makes the configuration.

        Args:
            account: that is charged.
            queue: queue, partition or quality of service, as the site calls it.
            node: type of nodes, where the queue does not say it.
            walltime: of a block, as HH:MM:SS.
            nodes_per_block: of a job; with ``inside_job`` all nodes of the job by default.
            max_blocks: jobs at the same time.
            worker_init: lines that a job runs before its workers start, such as the activation of
                an environment. The one that this process runs in is found without.
            scheduler_options: further lines for the scheduler, such as ``#SBATCH --mail-type=END``.
            inside_job: the driver runs inside of a job, and its workers on that job's nodes.
            gpus_per_node: fewer than a node has, with their share of its cores.
            workers_per_gpu: workers that share a GPU.
            mps: start NVIDIA's service for that, where a block has one node.
            max_workers: workers of a node; by default one per GPU, or per core without GPUs.
            drain_seconds: a block takes no new tasks in its last so many seconds.
            address: of this machine, for the workers.
            run_dir: where Parsl writes its logs and the keys that workers connect with: on a file
                system that compute nodes see.
            retries: how often a task is tried again when its worker is lost. Evaluations of a
                search are, without a limit of theirs.

        Raises:
            ConfigError: an option is missing, or cannot be.
        """
        queue = str(queue) if queue is not None else self.queue
        kind = self._node(node, queue)
        gpus = kind.gpus[: self._fewer(gpus_per_node, kind)]
        workers = max_workers or kind.workers or len(gpus) * workers_per_gpu
        workers = workers or kind.cores_of(0)
        nodes = self._nodes(nodes_per_block, inside_job)
        if mps and nodes > 1:
            raise ConfigError(f"mps: blocks of {nodes} nodes cannot start it; use blocks of one")
        environment = self._environment(kind, max(1, kind.cores_of(len(gpus)) // workers))
        if gpus:
            environment |= memory_environment(workers_per_gpu)
        _set_backend(environment)
        lines = [*self.first_lines(), *exports(environment), *(_MPS if mps else ()), worker_init]
        names = ("PATH", *environment)
        block = Block(
            account=None if inside_job else self._account(account),
            queue=queue,
            walltime=checked_walltime(walltime or self.walltime),
            nodes=nodes,
            max_blocks=max_blocks,
            node=kind,
            gpus=len(gpus),
            worker_init="\n".join(line for line in lines if line),
            scheduler_options=scheduler_options,
            launcher=self.scheduler.launcher(nodes, kind.threads_of(len(gpus)), names),
        )
        # Of a node that is shared, a job has cores that are not known before.
        beside = kind.gpu_cores and gpus == kind.gpus and workers <= len(gpus) * workers_per_gpu
        executor = search_executor(
            _local_provider(block) if inside_job else self.scheduler.provider(block),
            label=self.name,
            workers=workers,
            devices=share_gpus(gpus, workers_per_gpu),
            cpu_affinity=(
                affinity_list(kind.gpu_cores, workers_per_gpu, workers) if beside else "none"
            ),
            address=address or self.address(),
            **_drained(block.walltime, drain_seconds),
        )
        executor.machine = self  # for what else depends on it, as a store's servers do
        return search_config(executor, run_dir, retries)

    def first_lines(self) -> list[str]:
        """Returns what a job runs first: the site's lines, and where this environment is."""
        # Jobs may start without it. It goes last: it may have an mpiexec, which is not the site's.
        folder = shlex.quote(str(Path(sys.executable).parent))
        return [*self.setup, f"export PATH=$PATH:{folder}"]

    def address(self) -> str | None:
        """Returns the address that compute nodes reach this machine on, if it has it."""
        import psutil
        from parsl.addresses import address_by_interface

        there = psutil.net_if_addrs()
        for name in self.interfaces:
            if name in there:
                try:
                    return str(address_by_interface(name))
                except OSError:  # it has no address at the moment
                    continue
        return None

    def _node(self, node: str | None, queue: str | None) -> Node:
        if node is not None:
            if node not in self.nodes:
                raise ConfigError(
                    f"{self.name} has no nodes of type {node!r}{did_you_mean(node, self.nodes)}; "
                    f"choose from {', '.join(self.nodes)}"
                )
            return self.nodes[node]
        fitting = [name for name in self.nodes if (queue or "").startswith(name)]
        return self.nodes[max(fitting, key=len) if fitting else next(iter(self.nodes))]

    def _fewer(self, gpus_per_node: int | None, kind: Node) -> int:
        if gpus_per_node is None:
            return len(kind.gpus)
        if not 0 <= gpus_per_node <= len(kind.gpus):
            raise ConfigError(
                f"gpus_per_node={gpus_per_node!r}: such a node of {self.name} has {len(kind.gpus)}"
            )
        return gpus_per_node

    def _nodes(self, nodes_per_block: int | None, inside_job: bool) -> int:
        if nodes_per_block is not None or not inside_job:
            return nodes_per_block or 1
        found = self.scheduler.nodes_of_job()
        if found is None:
            raise ConfigError(
                f"inside_job=true, and this process is in no job of {self.name}: start it from a "
                "job's script, or give nodes_per_block"
            )
        return found

    def _account(self, account: str | None) -> str | None:
        if account is None and self.account:
            raise ConfigError(
                f"{self.name} charges {self.account}: give it, as in -o account=NAME, or as "
                "PARSL_TL_CONFIG_ACCOUNT in the environment"
            )
        return None if account is None else str(account)

    def _environment(self, kind: Node, threads: int) -> dict[str, str]:
        found = {**thread_environment(threads), **self.environment}
        # What the user chose holds; jobs of some schedulers do not take over the environment.
        backend = os.environ.get("KERAS_BACKEND") or (self.backend if kind.gpus else None)
        if backend:
            found["KERAS_BACKEND"] = backend
        if kind.accelerator:
            found |= {"PARSL_TL_ACCELERATOR": kind.accelerator, GPUS: OF_THE_JOB}
        return found


def checked_walltime(walltime: str) -> str:
    """Returns a walltime that all schedulers read.

    Raises:
        ConfigError: it is no HH:MM:SS.
    """
    if not re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", str(walltime)):
        raise ConfigError(f"walltime={walltime!r} must have the form HH:MM:SS, such as 01:30:00")
    return str(walltime)


def _seconds(walltime: str) -> int:
    hours, minutes, seconds = map(int, walltime.split(":"))
    return 3600 * hours + 60 * minutes + seconds


def _drained(walltime: str, drain_seconds: int) -> dict[str, int]:
    if not drain_seconds:
        return {}
    left = _seconds(walltime) - drain_seconds
    if left <= 0:
        raise ConfigError(
            f"drain_seconds={drain_seconds!r} is all of the walltime {walltime}; give less"
        )
    return {"drain_period": left}


def _set_backend(environment: Mapping[str, str]) -> None:
    """Has the driver, too, use a backend that is there; unless it has loaded Keras."""
    if "KERAS_BACKEND" in environment and "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", environment["KERAS_BACKEND"])


def _local_provider(block: Block) -> Any:
    from parsl.providers import LocalProvider

    return LocalProvider(
        nodes_per_block=block.nodes,
        init_blocks=1,
        min_blocks=1,
        max_blocks=1,
        worker_init=block.worker_init,
        launcher=block.launcher,
    )
