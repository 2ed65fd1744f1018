"""Any machine with LSF whose jobs are asked for by nodes; options say what its nodes are.

Unconfirmed on a machine. Options beside those of every machine: cores_per_node, threads_per_core,
gpus_of_node, accelerator (cuda, rocm), interface. Blocks of several nodes are started by Open MPI's
mpirun.
"""

from parsl_tl.sites import Lsf, Machine, Node, numbered, with_machine_options


@with_machine_options
def config(
    *,
    cores_per_node: int,
    threads_per_core: int = 1,
    gpus_of_node: int = 0,
    accelerator: str = "cuda",
    interface: str | None = None,
) -> Machine:
    """Describes the machine."""
    node = Node(
        cores=cores_per_node,
        threads_per_core=threads_per_core,
        gpus=numbered(gpus_of_node),
        accelerator=accelerator if gpus_of_node else None,
        options='#BSUB -gpu "num={gpus}"' if gpus_of_node else "",
    )
    return Machine(
        name="lsf",
        scheduler=Lsf(),
        nodes={"node": node},
        interfaces=(interface,) if interface else (),
    )
