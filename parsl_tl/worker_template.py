"""The process that the workers of a node are forked from imports this; see ``worker_start``."""

from parsl_tl.worker_start import fill_template

fill_template()
