"""Delta (NCSA): nodes of 4 or 8 NVIDIA or AMD GPUs, or of 128 cores, by Slurm.

Facts: NCSA's documentation as of 28 May 2025, and Globus Compute's configuration; the cores of
nodes with 8 GPUs and of CPU nodes are unconfirmed. Partitions: gpuA100x4, gpuA100x8, gpuA40x4,
gpuH200x8 (one node per job), gpuMI100x8, cpu, all 48 h; with -interactive 1 h; with -preempt half
the price. On the nodes with AMD's GPUs, TensorFlow does not run: set KERAS_BACKEND=torch.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered


def _node(cores: int, gpus: int, memory_gb: int) -> Node:
    return Node(cores=cores, gpus=numbered(gpus), accelerator="cuda", memory_gb=memory_gb)


MACHINE = Machine(
    name="delta",
    account="an allocation",
    # Nodes are shared by default; memory and cores are asked for.
    scheduler=Slurm(exclusive=False, asks_cores=True, constraint="scratch"),
    queue="gpuA100x4",
    nodes={
        "gpuA100x4": _node(64, 4, 220),
        "gpuA40x4": _node(64, 4, 220),
        "gpuA100x8": _node(128, 8, 1900),
        "gpuH200x8": _node(96, 8, 1900),
        "gpuMI100x8": Node(cores=128, gpus=numbered(8), accelerator="rocm", memory_gb=1900),
        "cpu": Node(cores=128, memory_gb=220),
    },
    interfaces=("eth6.560",),
)
config = MACHINE.config
