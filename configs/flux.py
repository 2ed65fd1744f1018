"""Any machine with Flux, from inside of a job; options say what its nodes are.

Unconfirmed on a machine. Parsl submits no blocks to Flux: the driver runs inside of `flux batch` or
`flux alloc`, with inside_job=true. Options beside those of every machine: cores_per_node,
threads_per_core, gpus_of_node, accelerator (cuda, rocm), interface.
"""

from parsl_tl.sites import Flux, Machine, Node, numbered, with_machine_options


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
    )
    return Machine(
        name="flux",
        scheduler=Flux(),
        nodes={"node": node},
        interfaces=(interface,) if interface else (),
    )
