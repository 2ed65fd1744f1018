"""Generates many random architectures of a search space, as fast as possible.

    python apps/gen_models.py --population_size=60000 --output_dir=populations/random
    mpiexec -np 4 python -m mpi4py apps/gen_models.py --population_size=60000 --output_dir=/foo

The files are models_<rank>.json (one Keras JSON per line), population_<rank>.parquet (one row per
model) and metadata_<rank>.json (seed and sequences). The models are the same for any number of
ranks.
"""

from __future__ import annotations

import sys

from parsl_tl.cli.generate_ranks import generate_on_ranks

if __name__ == "__main__":
    sys.exit(generate_on_ranks(__doc__, evolves=False))
