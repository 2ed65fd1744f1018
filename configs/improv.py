"""Improv (LCRC): nodes of 128 cores, by PBS.

Facts: Parsl's configuration, August 2026; the network interface is unconfirmed (Parsl tries all
addresses). Open MPI starts the workers, from the modules that are loaded.
"""

from parsl_tl.sites import Machine, Node, PbsPro
from parsl_tl.sites.launchers import open_mpi

MACHINE = Machine(
    name="improv",
    account="a project",
    scheduler=PbsPro(launcher=open_mpi()),
    queue="compute",
    nodes={"cpu": Node(cores=128)},
    setup=("module load gcc/13.2.0", "module load openmpi/5.0.3-gcc-13.2.0"),
)
config = MACHINE.config
