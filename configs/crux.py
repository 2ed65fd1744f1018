"""Crux (ALCF): nodes of 128 cores, by PBS.

Facts: ALCF's user guides as of 19 August 2026. Queues: debug (8 nodes, 2 h), workq-route (184
nodes, 24 h), preemptable (10 nodes, 72 h; give scheduler_options="#PBS -r y").
"""

from parsl_tl.sites import Machine, Node, PbsPro
from parsl_tl.sites.launchers import mpiexec

MACHINE = Machine(
    name="crux",
    account="a project",
    scheduler=PbsPro(
        options="#PBS -l filesystems=home:eagle",
        launcher=mpiexec("--cpu-bind", "--depth={threads} --ppn 1"),
    ),
    queue="debug",
    nodes={"cpu": Node(cores=128, threads_per_core=2, options="system=crux")},
    interfaces=("hsn0",),
    fabric="ofi+cxi",  # Slingshot; unconfirmed here
    setup=("module use /soft/modulefiles", "module load conda"),
    environment={"TMPDIR": "/tmp"},
)
config = MACHINE.config
