"""What evolution did with transfer: prefixes, donors, and lineages of a run or a population.

    python apps/analyze_evolution.py runs/digits --out runs/digits-analysis
    python apps/analyze_evolution.py runs/population runs/population-evolved --out runs/analysis

The same as `parsl-tl analyze evolution`; parsl_tl/cli/analyze_evolution.py shows how it is done.
"""

from __future__ import annotations

import sys

from parsl_tl.cli.analyze import run_script

if __name__ == "__main__":
    sys.exit(run_script("evolution"))
