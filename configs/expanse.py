"""Expanse (SDSC): nodes of 4 V100, or of 128 cores, by Slurm.

Facts: Parsl's and Globus Compute's configurations and SDSC's page for ACCESS, 2026. Unconfirmed:
the names of the partitions gpu and gpu-shared, their memory, and the limit of 48 h.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered

MACHINE = Machine(
    name="expanse",
    account="an allocation",
    scheduler=Slurm(asks_cores=True),
    queue="gpu",
    nodes={
        "gpu": Node(cores=40, gpus=numbered(4), accelerator="cuda", memory_gb=360),
        "compute": Node(cores=128),
    },
    interfaces=("ib0",),
    fabric="ofi+verbs",  # InfiniBand; unconfirmed here
)
config = MACHINE.config
