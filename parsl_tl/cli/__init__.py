"""The command line: ``parsl-tl``."""

from parsl_tl.cli.main import main

__all__ = ["main"]
