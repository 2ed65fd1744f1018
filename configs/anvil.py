"""Anvil (Purdue): nodes of 4 A100 or H100, or of 128 cores, by Slurm.

Facts: Parsl's and Globus Compute's configurations and RCAC's pages, 2026. Unconfirmed: 48 h for
gpu, and cores and GPUs of the partition ai. Partitions: gpu and ai (shared nodes; their accounts
end in -gpu and -ai), wholenode, shared, debug.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered

MACHINE = Machine(
    name="anvil",
    account="an allocation",
    scheduler=Slurm(exclusive=False, asks_cores=True),
    queue="gpu",
    nodes={
        "gpu": Node(cores=128, gpus=numbered(4), accelerator="cuda"),
        "ai": Node(cores=96, gpus=numbered(4), accelerator="cuda"),
        "wholenode": Node(cores=128),
        "shared": Node(cores=128),
        "debug": Node(cores=128),
    },
    interfaces=("ib0",),
    fabric="ofi+verbs",  # InfiniBand; unconfirmed here
)
config = MACHINE.config
