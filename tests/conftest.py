"""DeepHyper is imported as the package does it, before any test module does."""

from parsl_tl.mpi import mpi_left_alone

with mpi_left_alone():
    import deephyper.hpo  # noqa: F401
