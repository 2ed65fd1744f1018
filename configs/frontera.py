"""Frontera (TACC): nodes of 56 cores, or of 4 Quadro RTX, by Slurm.

Facts: TACC's documentation as of 12 August 2026; the 56 cores and the missing GPU request are
unconfirmed. Partitions: small (2 nodes), normal (512), large (2048), flex (preemptible), rtx (16),
all 48 h; development (40 nodes, 2 h) and rtx-dev (2 h).
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered

MACHINE = Machine(
    name="frontera",
    account="an allocation",
    scheduler=Slurm(asks_gpus=False),
    queue="rtx",
    nodes={
        "rtx": Node(cores=16, gpus=numbered(4), accelerator="cuda"),
        "cpu": Node(cores=56),
        "small": Node(cores=56),
        "normal": Node(cores=56),
        "large": Node(cores=56),
        "flex": Node(cores=56),
        "development": Node(cores=56),
    },
    interfaces=("ib0",),
    fabric="ofi+verbs",  # InfiniBand; unconfirmed here
)
config = MACHINE.config
