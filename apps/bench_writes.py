r"""How long does saving a model take, from many processes at once?

    python apps/bench_writes.py --out runs/writes
    python apps/bench_writes.py --scale 1 --num-procs 1 2 4 --synced --folder /scratch
    python apps/bench_writes.py --config polaris --num-procs 64 --synced --memory --folder /eagle/me
    python apps/bench_writes.py --model resnet152 dense:500x20 my.keras --formats keras safetensors

Saves the network of CANDLE's NT3 benchmark (or others) in file formats and by transfer methods.
With --num-changes K, all layers with weights but the first K differ from a model that was stored
before: file formats write the whole model all the same, a store only what changed. There are three
measurements:

--with-setup  to a file system. The time starts before the processes do, and includes loading the
              framework, setting up the GPU and building the model; nothing is synced.
--synced      to a file system. All processes start together when they are ready; each ends with
              an fsync of what it wrote. (Redis does that itself, in its append-only log.)
--memory      the same into a file system in memory, and into Redis without its log.

Without one of them, the last two are made. time_sec is from the start to the end of the last
process, by one clock. Only bytes that were written count for the bandwidth. What fails is a row
with successful=False and the reason; the exit code is then 1.
"""

from __future__ import annotations

import sys

from parsl_tl.benchmarks.core.suite import run_script

if __name__ == "__main__":
    sys.exit(run_script("writes", __doc__))
