"""Aurora (ALCF): nodes of 6 Intel PVC GPUs, which are 12 tiles, by PBS.

Facts: ALCF's user guides as of 19 August 2026. TensorFlow is at 2.15 there, which Keras 3 does not
run on: Keras' backend is PyTorch, from the module `frameworks`. A worker has a tile, by its number
in the FLAT hierarchy; cores 0 and 52 are the system's. Queues: debug (2 nodes, 1 h), debug-scaling
(2 to 256 nodes, 1 h), capacity (16 nodes, 168 h), prod (256 nodes and more).
"""

from parsl_tl.sites import Machine, Node, PbsPro, numbered
from parsl_tl.sites.launchers import mpiexec

MACHINE = Machine(
    name="aurora",
    account="a project",
    scheduler=PbsPro(
        options="#PBS -l filesystems=home:flare",
        launcher=mpiexec("--cpu-bind", "--ppn 1"),
    ),
    queue="debug",
    nodes={
        "gpu": Node(
            cores=104,
            threads_per_core=2,
            gpus=numbered(12),
            accelerator="xpu",
            gpu_cores=(
                *("1-8,105-112", "9-16,113-120", "17-24,121-128"),
                *("25-32,129-136", "33-40,137-144", "41-48,145-152"),
                *("53-60,157-164", "61-68,165-172", "69-76,173-180"),
                *("77-84,181-188", "85-92,189-196", "93-100,197-204"),
            ),
        )
    },
    interfaces=("hsn0",),
    fabric="ofi+cxi",  # Slingshot; unconfirmed here
    setup=("module load frameworks",),
    environment={
        "TMPDIR": "/tmp",  # sockets of single-node jobs had paths that were too long elsewhere
        "ZE_FLAT_DEVICE_HIERARCHY": "FLAT",  # which the names of the tiles belong to
    },
    backend="torch",
)
config = MACHINE.config
