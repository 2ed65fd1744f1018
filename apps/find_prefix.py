"""What two models have in common: stable names, the common prefix, and a picture of both.

    python apps/find_prefix.py one.keras other.json --out prefix.svg
    python apps/find_prefix.py runs/population:12 runs/population:345
    python apps/find_prefix.py models_0.json:1 models_0.json:2 --out prefix.png

The same as `parsl-tl analyze prefix`; parsl_tl/cli/analyze_prefix.py shows how it is done.
"""

from __future__ import annotations

import sys

from parsl_tl.cli.analyze import run_script

if __name__ == "__main__":
    sys.exit(run_script("prefix"))
