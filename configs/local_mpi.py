"""This machine: MPI programs as tasks, through HTEX's MPI mode.

On a site with a scheduler, the provider is the scheduler's, with its SimpleLauncher: one pool
of workers on the first node of a block starts the programs. The node file comes from the scheduler
then, so that the lines about it go; ``worker_init`` loads the site's MPI and the environment that
mpi4py was compiled in; ``mpi_launcher`` is what the site uses ("srun", "mpiexec"); and
``max_workers_per_block`` is at most the number of nodes in a block, since a node runs one program.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import parsl
from parsl.executors import MPIExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from parsl_tl.block_errors import after_failed_starts
from parsl_tl.sites.executor import search_config


def config(
    max_workers: int | None = None, run_dir: str = "runinfo", retries: int = 0
) -> parsl.Config:
    """Returns the configuration.

    Args:
        max_workers: programs that run at once; by default one, which has all cores.
        run_dir: where Parsl writes its logs.
        retries: how often a program is tried again when its worker is lost.
    """
    programs = max_workers or 1
    folder = shlex.quote(str(Path(sys.executable).parent))
    worker_init = [
        # mpiexec of the wheel stands beside this Python.
        f"export PATH={folder}:$PATH",
        # Parsl asks the scheduler for the nodes; here, this machine stands in their list, once for
        # each program that may run.
        "unset SLURM_NODELIST",
        "export PBS_NODEFILE=$(mktemp)",
        *["echo localhost >> $PBS_NODEFILE"] * programs,
    ]
    executor = MPIExecutor(
        label="mpi",
        address="127.0.0.1",
        mpi_launcher="mpiexec",
        max_workers_per_block=programs,
        heartbeat_period=2,
        heartbeat_threshold=30,
        block_error_handler=after_failed_starts(),
        provider=LocalProvider(
            init_blocks=1,
            min_blocks=1,
            max_blocks=1,
            launcher=SimpleLauncher(),
            worker_init="\n".join(worker_init),
        ),
    )
    return search_config(executor, run_dir, retries, period=2)
