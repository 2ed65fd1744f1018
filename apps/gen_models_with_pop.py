r"""Generates a population of random architectures, or evolves one by small changes.

    mpiexec -np 4 python -m mpi4py apps/gen_models_with_pop.py \
        --output_dir=/foo --population_size=60000
    mpiexec -np 4 python -m mpi4py apps/gen_models_with_pop.py \
        --output_dir=/foo_evolved --initial_population_dir=/foo --evolve_count=10000

The second command changes one choice in each of the first 10,000 members, as regularized evolution
changes a parent, and keeps the others. Sizes and counts are totals over all ranks. The files are
models_<rank>.json (one Keras JSON per line), population_<rank>.parquet (one row per model, with its
parent) and metadata_<rank>.json (seed and sequences). They are the same for any number of ranks,
and a second run may have another number than the first.
"""

from __future__ import annotations

import sys

from parsl_tl.cli.generate_ranks import generate_on_ranks

if __name__ == "__main__":
    sys.exit(generate_on_ranks(__doc__, evolves=True))
