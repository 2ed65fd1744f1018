"""Runs the metadata service: ``mpiexec -n 4 python -m parsl_tl.graph_meta models_*.json``."""

import sys

from parsl_tl.graph_meta.program import main

if __name__ == "__main__":
    sys.exit(main())
