"""A run of some hundred evaluations, written once."""

import pytest
from long_run import write_long_run

from parsl_tl.report.run import read_run


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """300 evaluations by 6 workers, 4 more under way, two figures to keep small."""
    folder = tmp_path_factory.mktemp("runs") / "long"
    write_long_run(
        folder,
        300,
        workers=6,
        unfinished=4,
        failing=0.06,
        population_size=20,
        minimize=["parameters", "-val_loss"],
    )
    return folder


@pytest.fixture(scope="package")
def run(folder):
    return read_run(folder)
