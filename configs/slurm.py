"""Any machine with Slurm; options say what its nodes are.

Options beside those of every machine: cores_per_node, threads_per_core, gpus_of_node, accelerator
(cuda, rocm, xpu), memory_gb, interface, qos_is_queue, asks_gpus, asks_cores, exclusive.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered, with_machine_options


@with_machine_options
def config(
    *,
    cores_per_node: int,
    threads_per_core: int = 1,
    gpus_of_node: int = 0,
    accelerator: str = "cuda",
    memory_gb: int | None = None,
    interface: str | None = None,
    qos_is_queue: bool = False,
    asks_gpus: bool = True,
    asks_cores: bool = False,
    exclusive: bool = True,
) -> Machine:
    """Describes the machine."""
    node = Node(
        cores=cores_per_node,
        threads_per_core=threads_per_core,
        gpus=numbered(gpus_of_node),
        accelerator=accelerator if gpus_of_node else None,
        memory_gb=memory_gb,
    )
    scheduler = Slurm(
        queue_is="qos" if qos_is_queue else "partition",
        asks_gpus=asks_gpus,
        asks_cores=asks_cores,
        exclusive=exclusive,
    )
    return Machine(
        name="slurm",
        scheduler=scheduler,
        nodes={"node": node},
        interfaces=(interface,) if interface else (),
    )
