"""Freezing and unfreezing layers in Keras 3: a tutorial that proves what it says.

    python apps/keras_freeze.py
    python apps/keras_freeze.py --layers 12 --units 1024 --out runs/freeze
    python apps/keras_freeze.py --config local

Transfer learning takes layers over from another model and freezes them. The lessons show what that
does to the trainable weights, to compiled models, to the optimizer, to BatchNormalization, to
files, and to the time of a training step. Each statement is checked as it is made; the exit code
is 1 if one does not hold with the installed versions. The lessons are a page to read and copy from,
docs/guides/freezing.md.
"""

from __future__ import annotations

import sys

from parsl_tl.benchmarks.core.suite import run_script

if __name__ == "__main__":
    sys.exit(run_script("freeze", __doc__))
