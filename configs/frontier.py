"""Frontier (OLCF): nodes of 4 MI250X, which are 8 GPUs, by Slurm.

Facts: OLCF's user documentation as of 22 July 2026; the cores beside each GPU follow from its
table, without the first of each group, which is the system's. No TensorFlow for its ROCm is on
PyPI: Keras' backend is PyTorch (JAX works as well). Partition batch: up to 91 nodes for 2 h, 183
for 6 h, more for 12 h; extended: 64 nodes, 24 h. For the quality of service `debug` give
scheduler_options="#SBATCH --qos=debug". The home folder is read-only on compute nodes: start from
Orion, with the environment and --out there.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered
from parsl_tl.sites.launchers import srun

MACHINE = Machine(
    name="frontier",
    account="a project",
    # Its nodes are given whole, with all GPUs.
    scheduler=Slurm(asks_gpus=False, launcher=srun("{threads}")),
    queue="batch",
    nodes={
        "gpu": Node(
            cores=56,
            gpus=numbered(8),
            accelerator="rocm",
            gpu_cores=(
                *("49-55", "57-63", "17-23", "25-31"),
                *("1-7", "9-15", "33-39", "41-47"),
            ),
        )
    },
    interfaces=("hsn0",),
    fabric="ofi+cxi",  # Slingshot; unconfirmed here
    # What AMD's libraries compile is kept on the node: in the home folder, locks would fail.
    environment={"MIOPEN_USER_DB_PATH": "/tmp/miopen", "MIOPEN_CUSTOM_CACHE_DIR": "/tmp/miopen"},
    backend="torch",
)
config = MACHINE.config
