"""What a search loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LOADED = "any('libmpi' in line for line in open('/proc/self/maps'))"


@pytest.mark.parametrize(
    "imported",
    [
        "parsl_tl.search.evaluator, parsl_tl.search.regularized_evolution",
        "parsl_tl.spaces; parsl_tl.spaces.get_space('dense-skip').problem()",
    ],
)
def test_a_search_does_not_load_mpi(imported):
    pytest.importorskip("mpi4py")
    code = f"import sys, {imported}; print({_LOADED}, 'mpi4py' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_who_has_imported_mpi_keeps_it():
    pytest.importorskip("mpi4py")
    code = "import mpi4py, parsl_tl.search.evaluator, deephyper.evaluator.mpi as m; print(m.MPI)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mpi4py.MPI" in run.stdout


def test_a_campaign_is_there_before_deephyper_and_parsl():
    code = (
        "import sys, parsl_tl.search.campaign;"
        "print(sorted({'deephyper', 'parsl', 'pandas', 'sklearn', 'keras'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
