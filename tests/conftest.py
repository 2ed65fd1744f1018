"""DeepHyper is imported as the package does it, before any test module does."""

import signal

import pytest
from hypothesis import settings

from parsl_tl.mpi import mpi_left_alone

with mpi_left_alone():
    import deephyper.hpo  # noqa: F401

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell's background jobs ignore Ctrl-C, and so does all that they start; what is tested must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Tests that are run over every transport that there is are named by it."""
    for item in items:
        if "thallium" in item.nodeid:
            item.add_marker(pytest.mark.thallium)
