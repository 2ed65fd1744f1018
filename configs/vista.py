"""Vista (TACC): nodes of a Grace-Hopper chip, or of 144 Grace cores, by Slurm.

Facts: TACC's documentation as of 12 August 2026. Unconfirmed: cores, the missing GPU request, and
the network interface (Parsl tries all addresses). Partitions: gh (64 nodes, 48 h), gh-dev (8 nodes,
2 h), gg. The processors are ARM's: an environment of another machine does not run here.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered

MACHINE = Machine(
    name="vista",
    account="an allocation",
    scheduler=Slurm(asks_gpus=False),
    queue="gh",
    nodes={
        "gh": Node(cores=72, gpus=numbered(1), accelerator="cuda"),
        "gg": Node(cores=144),
    },
)
config = MACHINE.config
