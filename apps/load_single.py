"""How long does reading a few layers take, when a model has many?

    python apps/load_single.py --out runs/load
    python apps/load_single.py --model candle --layers conv_1 conv_2
    python apps/load_single.py --model resnet152 --count 1 10 --share 0.5 --formats store keras
    python apps/load_single.py --files my.keras weights.safetensors --share 0.25

Reads subsets of the layers (by name, by count, by share; counted from the input) from each format
and from the store, and everything beside. Each read opens the file anew, and ends with the arrays
in memory of their own, where they are compared byte for byte.

Cold reads: the files' pages are thrown out of the page cache before, by posix_fadvise, which every
user may, or with --drop-caches for the whole machine, which root may. Whether they are really gone
is asked of the system (mincore), and told. Warm reads follow right after. What fails is a row with
the reason; the exit code is then 1.
"""

from __future__ import annotations

import sys

from parsl_tl.benchmarks.core.suite import run_script

if __name__ == "__main__":
    sys.exit(run_script("load", __doc__))
