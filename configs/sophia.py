"""Sophia (ALCF): nodes of 8 A100, by PBS.

Facts: ALCF's user guides as of 19 August 2026; cores and network interface (Parsl tries all
addresses) are unconfirmed. Queues: by-node (8 nodes, 24 h), whose chunks are nodes, and by-gpu (8
GPUs, 24 h), whose chunks are GPUs: a block there is one GPU, and max_blocks says how many.
"""

from parsl_tl.sites import Machine, Node, PbsPro, numbered

MACHINE = Machine(
    name="sophia",
    account="a project",
    scheduler=PbsPro(options="#PBS -l filesystems=home:eagle", asks_cores=False),
    queue="by-node",
    nodes={
        "by-node": Node(cores=128, gpus=numbered(8), accelerator="cuda"),
        # The scheduler pins the job to its GPU.
        "by-gpu": Node(cores=16, workers=1),
    },
    setup=("module use /soft/modulefiles", "module load conda"),
    environment={"TMPDIR": "/tmp"},
)
config = MACHINE.config
