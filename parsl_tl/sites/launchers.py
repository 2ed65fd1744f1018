"""Launchers that Parsl lacks: how one pool of workers is started on each node of a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from parsl.launchers import MpiExecLauncher, MpiRunLauncher, SrunLauncher
from parsl.launchers.base import Launcher

from parsl_tl.block_launcher import WholeBlockLauncher

# (nodes of a block, hardware threads of a node, names of variables to hand on) -> launcher
MakeLauncher = Callable[[int, int, tuple[str, ...]], Launcher]

_FLUX = """\
cat << POOL_EOF > {folder}pool_$JOBNAME.sh
{command}
POOL_EOF
flux run --nodes={nodes} --ntasks={nodes} --exclusive bash {folder}pool_$JOBNAME.sh
"""


class FluxLauncher(Launcher):  # type: ignore[misc]
    """Starts the pools of a block by ``flux run``, on whole nodes."""

    def __init__(self, debug: bool = True) -> None:
        super().__init__(debug=debug)

    def __call__(
        self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = ""
    ) -> str:
        """Returns the script that runs a command; see Parsl's launchers."""
        folder = f"{script_dir}/" if script_dir else ""
        return _FLUX.format(command=command, nodes=nodes_per_block, folder=folder)


def srun(cpus: str = "$SLURM_CPUS_ON_NODE") -> MakeLauncher:
    """Slurm's; a step has one task a node.

    Args:
        cpus: of the task: what the job has of a node; ``{threads}`` is what the facts say.
    """

    def make(nodes: int, threads: int, names: tuple[str, ...]) -> Launcher:
        # Since Slurm 22.05, steps do not take over what the job said of cores.
        taken = cpus.format(threads=threads)
        return SrunLauncher(
            overrides=f"--nodes={nodes} --ntasks-per-node=1 --cpus-per-task={taken} --cpu-bind=none"
        )

    return make


def mpiexec(bind_option: str = "--bind-to", overrides: str = "-ppn 1") -> MakeLauncher:
    """An ``mpiexec`` that hands its environment on, as those of Cray and MPICH do."""

    def make(nodes: int, threads: int, names: tuple[str, ...]) -> Launcher:
        return MpiExecLauncher(
            bind_cmd=bind_option, overrides=overrides.format(threads=threads).strip()
        )

    return make


def open_mpi() -> MakeLauncher:
    """Open MPI's ``mpirun``, which hands on only the variables that it is told."""

    def make(nodes: int, threads: int, names: tuple[str, ...]) -> Launcher:
        handed_on = " ".join(f"-x {name}" for name in names)
        # Else all ranks would be on the first node, which has a slot for each core.
        return MpiRunLauncher(overrides=f"--map-by ppr:1:node --bind-to none {handed_on}")

    return make


def on_one_node(make_for_more: MakeLauncher) -> MakeLauncher:
    """Blocks of one node need no launcher, and end with all their processes; larger ones do."""

    def make(nodes: int, threads: int, names: tuple[str, ...]) -> Launcher:
        return WholeBlockLauncher() if nodes == 1 else make_for_more(nodes, threads, names)

    return make


def flux_run() -> MakeLauncher:
    """Flux'."""

    def make(nodes: int, threads: int, names: tuple[str, ...]) -> Any:
        return FluxLauncher()

    return make
