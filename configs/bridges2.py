"""Bridges-2 (PSC): nodes of 8 V100, or of 128 cores, by Slurm.

Facts: Globus Compute's, Parsl's and RADICAL's configurations, 2026. Unconfirmed: cores, and the
names of the types of GPUs (v100-32, l40s-48, h100-80). Partitions: GPU (whole nodes), GPU-shared
(up to 4 GPUs: give gpus_per_node), RM, RM-small.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered

GPUS = "#SBATCH --gpus=v100-32:{all_gpus}"

MACHINE = Machine(
    name="bridges2",
    account="an allocation",
    scheduler=Slurm(exclusive=False, asks_gpus=False, cmd_timeout=120),
    queue="GPU",
    nodes={
        "GPU": Node(cores=40, gpus=numbered(8), accelerator="cuda", options=GPUS),
        "RM": Node(cores=128),
    },
    interfaces=("ens3f0",),
)
config = MACHINE.config
