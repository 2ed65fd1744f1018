"""The command line: ``parsl-tl``."""

from parsl_tl.cli.program import main

__all__ = ["main"]
