"""The metadata service as a task of a workflow, through HTEX's MPI mode."""

import pandas as pd
import parsl
import pytest
from mpi_run import find_mpiexec
from parsl.app.errors import BashExitFailure

from parsl_tl import load_config
from parsl_tl.tasks import graph_meta_app


@pytest.mark.slow
def test_the_app_runs_on_two_ranks(model_files, tmp_path):
    find_mpiexec()
    with parsl.load(load_config("local_mpi", run_dir=str(tmp_path / "runinfo"))):
        run = graph_meta_app("mpi")
        options = ("--queries", "30", "--walk-queries", "5")
        future = run(model_files, tmp_path / "out", *options, stdout=str(tmp_path / "told"))
        assert future.result(timeout=120) == 0
        assert pd.read_csv(tmp_path / "out" / "loading.csv").ranks.tolist() == [2]
        assert "queries (latencies in microseconds)" in (tmp_path / "told").read_text()

        (tmp_path / "bad.json").write_text("{}\n")
        errors = tmp_path / "errors"
        failing = run([tmp_path / "bad.json"], tmp_path / "out", stderr=str(errors))
        with pytest.raises(BashExitFailure):
            failing.result(timeout=120)
        assert "bad.json, line 1: this is not the JSON of a Keras model" in errors.read_text()
