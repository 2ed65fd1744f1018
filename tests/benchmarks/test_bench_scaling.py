"""Weak scaling: every task does as much, and finds of its models what is said to be stored."""

import pandas as pd
import pytest

from parsl_tl import open_store
from parsl_tl.benchmarks.core.options import check_values
from parsl_tl.benchmarks.core.servers import serving
from parsl_tl.benchmarks.suites.scaling import ScalingSuite
from parsl_tl.cli import main
from parsl_tl.errors import InvalidValueError


def test_shares_that_cannot_be_are_refused():
    for stored in (0, 101):
        with pytest.raises(InvalidValueError, match=f"stored={stored}"):
            check_values(ScalingSuite(stored=(stored,)))


@pytest.mark.slow
@pytest.mark.parametrize("config", [[], ["--config", "local", "--workers", "2"]])
def test_every_task_stores_what_is_not_there(tmp_path, capsys, config):
    out, models, layers = tmp_path / "out", 3, 8
    with serving("grpc+tcp://127.0.0.1:0", tmp_path, 1) as servers:
        command = ["bench", "scaling", "--tasks", "2", "1", "--models", str(models)]
        command += ["--model-mb", "0.2", "--layers", str(layers), "--store", *servers.uris]
        assert main([*command, *config, "--out", str(out)]) == 0, capsys.readouterr()
        with open_store(servers.uris[0]) as store:
            assert len(store) == 0  # all was retired again
    shown = capsys.readouterr().out
    assert "100%" in shown
    rows = pd.read_csv(out / "scaling.csv")
    assert len(rows) == 4 * (1 + 2) * models * 3
    for (stored, tasks), own in rows.groupby(["stored", "tasks"]):
        assert sorted(own[own.operation == "store"]["rank"]) == sorted([*range(tasks)] * models)
        # The input is a layer, too.
        assert set(own.matched) == {1 + layers * stored // 100}
        kept, read = (own[own.operation == name].bytes for name in ("store", "read"))
        assert (kept + read.to_numpy() == (kept + read.to_numpy()).iloc[0]).all()
        assert (kept == 0).all() == (stored == 100)
    rates = pd.read_csv(out / "scaling_rates.csv")
    assert set(rates.tasks) == {1, 2}
    assert (rates.per_sec > 0).all()
    assert (out / "scaling.png").exists()
