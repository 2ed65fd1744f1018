"""Schedulers: how each is asked for a block, and what it tells a driver inside of a job."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from parsl_tl.errors import ConfigError
from parsl_tl.sites.launchers import MakeLauncher, flux_run, mpiexec, on_one_node, open_mpi, srun
from parsl_tl.sites.node import Node

_SRUN = srun()
_MPIEXEC = on_one_node(mpiexec())
_OPEN_MPI = on_one_node(open_mpi())
_FLUX_RUN = flux_run()


@dataclass(frozen=True, kw_only=True)
class Block:
    """What is asked of a scheduler.

    Attributes:
        account: that is charged, or None.
        queue: queue, partition or quality of service, or None for the scheduler's choice.
        walltime: as HH:MM:SS.
        nodes: how many.
        max_blocks: at the same time.
        node: facts of one.
        gpus: how many of a node's GPUs.
        worker_init: lines that a job runs first.
        scheduler_options: further lines of the user's for the scheduler.
        launcher: Parsl's, which starts a pool of workers on each node.
    """

    account: str | None
    queue: str | None
    walltime: str
    nodes: int
    max_blocks: int
    node: Node
    gpus: int
    worker_init: str
    scheduler_options: str
    launcher: Any

    def node_options(self) -> str:
        """Returns what else asks for the nodes."""
        return self.node.options.format(gpus=self.gpus, all_gpus=self.gpus * self.nodes)

    def common(self) -> dict[str, Any]:
        """Returns the arguments that all providers take."""
        return {
            "nodes_per_block": self.nodes,
            "init_blocks": 1,
            "min_blocks": 0,
            "max_blocks": self.max_blocks,
            "walltime": self.walltime,
            "worker_init": self.worker_init,
            "launcher": self.launcher,
        }


class Scheduler(Protocol):
    """A scheduler, as it is set up on a machine."""

    @property
    def commands(self) -> tuple[str, ...]:
        """The programs that Parsl calls."""

    @property
    def launcher(self) -> MakeLauncher:
        """Makes the launcher of a block."""

    def provider(self, block: Block) -> Any:
        """Returns Parsl's provider of such blocks."""

    def nodes_of_job(self) -> int | None:
        """Returns how many nodes the job has that this process is in; None outside of jobs."""


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """Slurm.

    Attributes:
        queue_is: what sites call a queue.
        partition: of all jobs, where the queue is a quality of service.
        constraint: of all jobs; that of a type of node comes before it.
        exclusive: whole nodes.
        asks_gpus: by ``--gpus-per-node``. Some sites refuse that where a partition's nodes are
            given whole.
        asks_cores: by ``--cpus-per-task``; where the default is one core.
        launcher: see ``Scheduler``.
        cmd_timeout: seconds that its commands may take.
    """

    queue_is: Literal["partition", "qos"] = "partition"
    partition: str | None = None
    constraint: str | None = None
    exclusive: bool = True
    asks_gpus: bool = True
    asks_cores: bool = False
    launcher: MakeLauncher = _SRUN
    cmd_timeout: int = 60

    commands = ("sbatch", "squeue", "scancel", "srun")

    def provider(self, block: Block) -> Any:
        """See ``Scheduler``."""
        from parsl.providers import SlurmProvider

        node = block.node
        return SlurmProvider(
            **block.common(),
            account=block.account,
            partition=block.queue if self.queue_is == "partition" else self.partition,
            qos=block.queue if self.queue_is == "qos" else None,
            constraint=node.constraint or self.constraint,
            exclusive=self.exclusive and block.gpus == len(node.gpus),
            gpus_per_node=block.gpus if self.asks_gpus and block.gpus else None,
            cores_per_node=node.threads_of(block.gpus) if self.asks_cores else None,
            mem_per_node=node.memory_of(block.gpus),
            scheduler_options=_lines(block.node_options(), block.scheduler_options),
            cmd_timeout=self.cmd_timeout,
        )

    def nodes_of_job(self) -> int | None:
        """See ``Scheduler``."""
        return _number("SLURM_JOB_NUM_NODES")


@dataclass(frozen=True, kw_only=True)
class PbsPro:
    """PBS Pro, or OpenPBS.

    Attributes:
        options: lines of every job, such as the file systems that it needs.
        asks_cores: all of a node, or else one, where the queue says what a chunk is.
        launcher: see ``Scheduler``.
        cmd_timeout: seconds that its commands may take.
    """

    options: str = ""
    asks_cores: bool = True
    launcher: MakeLauncher = _MPIEXEC
    cmd_timeout: int = 120

    commands = ("qsub", "qstat", "qdel")

    def provider(self, block: Block) -> Any:
        """See ``Scheduler``."""
        from parsl.jobs.states import JobState
        from parsl.providers import PBSProProvider
        from parsl.providers.torque.torque import translate_table

        # Parsl did not know before July 2026 that such a job has ended.
        translate_table.setdefault("F", JobState.COMPLETED)
        given = [
            # In the file, so that it says everything.
            *([f"#PBS -A {block.account}"] if block.account else []),
            *([f"#PBS -q {block.queue}"] if block.queue else []),
        ]
        common = block.common()
        # A job starts in the home folder.
        common["worker_init"] = _lines('cd "$PBS_O_WORKDIR"', block.worker_init)
        return PBSProProvider(
            **common,
            cpus_per_node=block.node.threads_of(block.gpus) if self.asks_cores else 1,
            select_options=block.node_options(),
            scheduler_options=_lines(*given, self.options, block.scheduler_options),
            cmd_timeout=self.cmd_timeout,
        )

    def nodes_of_job(self) -> int | None:
        """See ``Scheduler``."""
        listed = os.environ.get("PBS_NODEFILE")
        if not listed:
            return None
        try:
            return len(set(Path(listed).read_text().split())) or None
        except OSError as error:
            raise ConfigError(f"PBS_NODEFILE={listed!r} cannot be read: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Lsf:
    """LSF; jobs are asked for by nodes.

    Attributes:
        launcher: see ``Scheduler``.
        redirects: ``bsub`` reads the script from its input.
    """

    launcher: MakeLauncher = _OPEN_MPI
    redirects: bool = True

    commands = ("bsub", "bjobs", "bkill")

    def provider(self, block: Block) -> Any:
        """See ``Scheduler``."""
        from parsl.providers import LSFProvider

        return LSFProvider(
            **block.common(),
            project=block.account,
            queue=block.queue,
            scheduler_options=_lines(block.node_options(), block.scheduler_options),
            bsub_redirection=self.redirects,
        )

    def nodes_of_job(self) -> int | None:
        """See ``Scheduler``."""
        # "host slots host slots ..."
        return len(os.environ.get("LSB_MCPU_HOSTS", "").split()) // 2 or None


@dataclass(frozen=True, kw_only=True)
class Flux:
    """Flux, from inside of ``flux batch`` or ``flux alloc``.

    Attributes:
        launcher: see ``Scheduler``.
    """

    launcher: MakeLauncher = _FLUX_RUN

    commands = ("flux",)

    def provider(self, block: Block) -> Any:
        """See ``Scheduler``."""
        raise ConfigError(
            "Parsl submits no blocks to Flux: start the driver inside of `flux batch` or "
            "`flux alloc`, and give inside_job=true"
        )

    def nodes_of_job(self) -> int | None:
        """See ``Scheduler``."""
        if "FLUX_URI" not in os.environ or shutil.which("flux") is None:
            return None
        asked = subprocess.run(
            ["flux", "getattr", "size"], capture_output=True, text=True, timeout=60, check=False
        )
        return int(asked.stdout) if asked.stdout.strip().isdigit() else None


def _number(variable: str) -> int | None:
    value = os.environ.get(variable, "")
    return int(value) if value.isdigit() else None


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text)
