"""Machines with a scheduler: facts of each, from which its configuration follows."""

from parsl_tl.sites.machine import Machine
from parsl_tl.sites.node import Node, numbered
from parsl_tl.sites.options import with_machine_options
from parsl_tl.sites.schedulers import Flux, Lsf, PbsPro, Slurm

__all__ = [
    "Flux",
    "Lsf",
    "Machine",
    "Node",
    "PbsPro",
    "Slurm",
    "numbered",
    "with_machine_options",
]
