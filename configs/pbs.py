"""Any machine with PBS Pro or OpenPBS; options say what its nodes are.

Options beside those of every machine: cores_per_node, threads_per_core, gpus_of_node, accelerator
(cuda, rocm, xpu), select (what is selected beside cores, such as "ngpus={gpus}"), interface, and
mpi for blocks of several nodes: mpiexec (MPICH, Cray), mpirun (Open MPI).
"""

from parsl_tl.errors import ConfigError
from parsl_tl.sites import Machine, Node, PbsPro, numbered, with_machine_options
from parsl_tl.sites.launchers import mpiexec, on_one_node, open_mpi

LAUNCHERS = {"mpiexec": mpiexec(), "mpirun": open_mpi()}


@with_machine_options
def config(
    *,
    cores_per_node: int,
    threads_per_core: int = 1,
    gpus_of_node: int = 0,
    accelerator: str = "cuda",
    select: str | None = None,
    interface: str | None = None,
    mpi: str = "mpiexec",
) -> Machine:
    """Describes the machine."""
    if mpi not in LAUNCHERS:
        raise ConfigError(f"mpi={mpi!r} must be one of {', '.join(LAUNCHERS)}")
    node = Node(
        cores=cores_per_node,
        threads_per_core=threads_per_core,
        gpus=numbered(gpus_of_node),
        accelerator=accelerator if gpus_of_node else None,
        options=select if select is not None else "ngpus={gpus}" if gpus_of_node else "",
    )
    return Machine(
        name="pbs",
        scheduler=PbsPro(launcher=on_one_node(LAUNCHERS[mpi])),
        nodes={"node": node},
        interfaces=(interface,) if interface else (),
    )
