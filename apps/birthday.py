"""How many layers are expected to transfer? The longest prefix with the best of n stored models.

    python apps/birthday.py --space feed-forward --out runs/birthday
    python apps/birthday.py --space dense-skip --space-arg num_layers=10 --out runs/skip
    python apps/birthday.py --population runs/population --out runs/measured
    python apps/birthday.py --options 2 --choices 20 --out runs/choices

The same as `parsl-tl analyze birthday`; parsl_tl/cli/analyze_birthday.py shows how it is done.
"""

from __future__ import annotations

import sys

from parsl_tl.cli.analyze import run_script

if __name__ == "__main__":
    sys.exit(run_script("birthday"))
