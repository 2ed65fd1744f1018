"""Polaris (ALCF): nodes of 4 A100, by PBS.

Facts: ALCF's user guides as of 19 August 2026. The GPUs are numbered against the order of the
cores beside them. Queues: debug (2 nodes, 1 h), debug-scaling (10 nodes, 1 h), prod (10 to 496
nodes), preemptable (10 nodes, 72 h; give scheduler_options="#PBS -r y"), capacity (4 nodes, 168 h).
Login nodes let a user have 128 threads and processes: a driver that loads TensorFlow belongs inside
of a job.
"""

from parsl_tl.sites import Machine, Node, PbsPro, numbered
from parsl_tl.sites.launchers import mpiexec

MACHINE = Machine(
    name="polaris",
    account="a project",
    scheduler=PbsPro(
        options="#PBS -l filesystems=home:eagle",
        launcher=mpiexec("--cpu-bind", "--depth={threads} --ppn 1"),
    ),
    queue="debug",
    nodes={
        "gpu": Node(
            cores=32,
            threads_per_core=2,
            gpus=numbered(4),
            accelerator="cuda",
            gpu_cores=("24-31,56-63", "16-23,48-55", "8-15,40-47", "0-7,32-39"),
            options="ngpus={gpus}",
        )
    },
    interfaces=("hsn0", "bond0"),  # on compute and on login nodes
    fabric="ofi+cxi",  # Slingshot; unconfirmed here
    setup=("module use /soft/modulefiles", "module load conda"),
    # Sockets of single-node jobs had paths that were too long elsewhere.
    environment={"TMPDIR": "/tmp"},
)
config = MACHINE.config
