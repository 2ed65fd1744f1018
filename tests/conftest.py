"""What holds for every test: imports, full size, order, and names of transports."""

import signal
from collections import Counter

import pytest
from hypothesis import settings

from parsl_tl.mpi import mpi_left_alone

# DeepHyper is imported as the package does it, before any test module does.
with mpi_left_alone():
    import deephyper.hpo  # noqa: F401

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell's background jobs ignore Ctrl-C, and so does all that they start; what is tested must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    """A Parsl kernel with a worker, for the campaigns of a file that say nothing of its start."""
    from parsl_tl import load_config
    from parsl_tl.parsl_kernel import parsl_kernel

    folder = tmp_path_factory.mktemp("parsl")
    with parsl_kernel(load_config("local", max_workers=1, run_dir=str(folder))) as kernel:
        yield kernel


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Files go to workers as a whole; pages of the documentation, which share nothing, do not."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrPage(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return nodeid if "::test_blocks_run[" in nodeid else super()._split_scope(nodeid)

    return ByFileOrPage(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also run what is marked `full`")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "thallium" in item.nodeid:
            item.add_marker(pytest.mark.thallium)
    if not config.getoption("--full"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if not item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
    # The slowest files start first, so that none of them is left for the end.
    slow_tests = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow_tests[item.path])
