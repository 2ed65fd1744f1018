"""Kestrel (NREL): nodes of 4 H100, or of 104 cores, by Slurm.

Facts: NREL's documentation as of 30 July 2025, and torc's profile; 104 cores, the memory and the
network interface (Parsl tries all addresses) are unconfirmed. A job gets one core and 1 GB of a GPU
node unless it asks. Partitions: gpu-h100 (48 h), gpu-h100s (4 h), gpu-h100l (longer), debug (1 h,
2 GPUs: give gpus_per_node=2). Without a GPU the scheduler chooses: give node="cpu", queue="".
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered

MACHINE = Machine(
    name="kestrel",
    account="a project handle",
    scheduler=Slurm(exclusive=False, asks_cores=True),
    queue="gpu-h100",
    nodes={
        "gpu-h100": Node(cores=128, gpus=numbered(4), accelerator="cuda", memory_gb=340),
        "cpu": Node(cores=104, memory_gb=240),
    },
)
config = MACHINE.config
