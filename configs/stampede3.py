"""Stampede3 (TACC): nodes of 4 H100, or of 48 to 112 cores, by Slurm.

Facts: TACC's documentation as of 12 August 2026, and Globus Compute's configuration. Unconfirmed:
TACC's partitions take no request for GPUs; H100s per node; cores of skx, icx and spr. Partitions:
h100 (4 nodes), skx (256), icx (32), spr (32), all 48 h; skx-dev (16 nodes, 2 h). pvc has Intel
GPUs, which this configuration does not know. $SCRATCH is purged after 10 days.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered

MACHINE = Machine(
    name="stampede3",
    account="an allocation",
    scheduler=Slurm(asks_gpus=False),
    queue="h100",
    nodes={
        "h100": Node(cores=96, gpus=numbered(4), accelerator="cuda"),
        "skx": Node(cores=48),
        "icx": Node(cores=80),
        "spr": Node(cores=112),
    },
    interfaces=("ibp10s0",),
)
config = MACHINE.config
