"""Is the store worth it here? Every transfer method, with the same models, from many workers.

    python apps/bench_transfer.py --out bench/transfer
    python apps/bench_transfer.py --method dense-skip --workers 4 --folder /lustre/me
    python apps/bench_transfer.py --config polaris --workers 8 --folder /lustre/me \
        --redis-url redis://10.0.0.1:6379/0 --store "ofi+cxi://... ofi+cxi://..."

Workers build models that share most of their layers, and do with each what an evaluation does,
without training: name its layers, find a donor and take over its weights, store what is new. Then
transfers are due at fixed rates, to see where each method stops keeping up. Rows go to timings.csv
and .parquet (one per model), methods.csv, rates.csv, and two plots.
"""

from __future__ import annotations

import sys

from parsl_tl.benchmarks.core.suite import run_script

if __name__ == "__main__":
    sys.exit(run_script("transfer", __doc__))
