"""LUMI-G (CSC): nodes of 4 MI250X, which are 8 GPUs, by Slurm.

Facts: LUMI's user guide as of 15 October 2024; the network interface is unconfirmed. Of 64 cores 56
can be asked for. No TensorFlow for its ROCm is on PyPI: Keras' backend is PyTorch (JAX works as
well). Partitions: standard-g (1024 nodes, 48 h), small-g (4 nodes, 72 h), dev-g (3 h).
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered
from parsl_tl.sites.launchers import srun

MACHINE = Machine(
    name="lumi",
    account="a project such as project_465000000",
    scheduler=Slurm(launcher=srun("{threads}")),
    queue="standard-g",
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
