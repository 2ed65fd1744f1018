"""Leonardo Booster (CINECA): nodes of 4 A100, by Slurm.

Facts: CINECA's documentation, 2026. Unconfirmed: the quality of service boost_qos_dbg (30 min), the
memory, and the network interface (Parsl tries all addresses). Partition boost_usr_prod: 64 nodes,
24 h; for up to 256 nodes give scheduler_options="#SBATCH --qos=boost_qos_bprod". Compute nodes are
offline: data and environments are fetched on login nodes.
"""

from parsl_tl.sites import Machine, Node, Slurm, numbered

MACHINE = Machine(
    name="leonardo",
    account="an account",
    scheduler=Slurm(),
    queue="boost_usr_prod",
    nodes={"gpu": Node(cores=32, gpus=numbered(4), accelerator="cuda", memory_gb=480)},
)
config = MACHINE.config
