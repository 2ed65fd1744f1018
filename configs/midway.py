"""Midway (RCC, Chicago): nodes of 4 GPUs, or of 48 cores, by Slurm.

Facts: Globus Compute's configuration, August 2026. Unconfirmed: cores, and GPUs of a node of the
partition gpu (give gpus_per_node for fewer). Partitions: caslake, gpu. Accounts are called pi-NAME.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered

MACHINE = Machine(
    name="midway",
    account="an account such as pi-NAME",
    scheduler=Slurm(exclusive=False, asks_cores=True),
    queue="gpu",
    nodes={
        "gpu": Node(cores=40, gpus=numbered(4), accelerator="cuda"),
        "caslake": Node(cores=48),
    },
    interfaces=("bond0",),
)
config = MACHINE.config
