"""Perlmutter (NERSC): nodes of 4 A100, or of 128 cores, by Slurm.

Facts: NERSC's documentation of its workflow queue and Globus Compute's configuration, August 2026.
Unconfirmed: debug has 8 nodes for 30 min, regular 48 h; node="gpu80" are nodes of GPUs with 80 GB.
A queue is a quality of service here: debug, regular, interactive, preempt, shared. Accounts for
GPUs may end in _g. For drivers that live for days there is the quality of service `workflow`.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered
from parsl_tl.sites.launchers import srun

GPU = Node(cores=64, threads_per_core=2, gpus=numbered(4), accelerator="cuda", constraint="gpu")

MACHINE = Machine(
    name="perlmutter",
    account="a project",
    scheduler=Slurm(queue_is="qos", cmd_timeout=120, launcher=srun("{threads}")),
    queue="debug",
    walltime="00:30:00",
    nodes={
        "gpu": GPU,
        "gpu80": Node(
            cores=64,
            threads_per_core=2,
            gpus=numbered(4),
            accelerator="cuda",
            constraint="gpu&hbm80g",
        ),
        "cpu": Node(cores=128, threads_per_core=2, constraint="cpu"),
    },
    interfaces=("hsn0",),
    fabric="ofi+cxi",  # Slingshot; unconfirmed here
)
config = MACHINE.config
