"""How long do saving and loading whole models take? What comes back is compared byte for byte.

    python apps/save_bench.py --out runs/save
    python apps/save_bench.py --model candle --scale 1 --formats keras --repeats 10
    python apps/save_bench.py --config polaris --folder /eagle/me --sync

The networks of CANDLE's NT3 benchmark and ResNet-152, or others. A .keras file holds the
architecture, too, and is loaded as a new model; weights alone are loaded into a model that is
there. Files are read just after they were written, so they come from memory: load_single.py
measures cold reads. What fails is a row with the reason as its status; the exit code is then 1.
"""

from __future__ import annotations

import sys

from parsl_tl.benchmarks.core.suite import run_script

if __name__ == "__main__":
    sys.exit(run_script("save", __doc__))
