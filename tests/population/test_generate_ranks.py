"""apps/gen_models*.py under mpiexec, and alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mpi_run import end_ranks, run_ranks, start_ranks

from parsl_tl import mpi
from parsl_tl.cli.generate_ranks import generate_on_ranks
from parsl_tl.errors import ConfigError
from parsl_tl.population import read_population

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow

APPS = Path(__file__).parents[2] / "apps"
APP = ("-m", "mpi4py", APPS / "gen_models_with_pop.py")
PLAIN_APP = APPS / "gen_models.py"


def lines_of(folder):
    paths = sorted(folder.glob("models_*.json"), key=lambda path: int(path.stem.split("_")[1]))
    return b"".join(path.read_bytes() for path in paths).splitlines()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_number_of_ranks_changes_nothing(tmp_path):
    """The two commands of the app's description, with other numbers of ranks each time."""
    first, evolved = [], []
    for ranks in (1, 3):
        out = tmp_path / f"population{ranks}"
        code, out_text, errors = run_ranks(
            ranks, *APP, f"--output_dir={out}", "--population_size=100", "--seed=5"
        )
        assert code == 0, errors
        assert "100 models in " in out_text
        first.append(out)
    for ranks, initial in ((2, first[0]), (1, first[1])):
        out = tmp_path / f"evolved{ranks}"
        code, out_text, errors = run_ranks(
            ranks,
            *APP,
            f"--output_dir={out}",
            f"--initial_population_dir={initial}",
            "--evolve_count=31",
        )
        assert code == 0, errors
        assert "31 of them evolved" in out_text
        evolved.append(out)
    assert lines_of(first[0]) == lines_of(first[1])
    assert len(list(first[1].glob("metadata_*.json"))) == 3
    assert lines_of(evolved[0]) == lines_of(evolved[1])
    before, after = read_population(first[0]), read_population(evolved[0])
    changed = (before.arch_seqs() != after.arch_seqs()).sum(axis=1)
    assert changed.tolist() == [1] * 31 + [0] * 69


def test_alone_it_is_one_rank(tmp_path):
    command = [sys.executable, PLAIN_APP, "--population-size", "9", "--output-dir", tmp_path]
    options = ["--space", "seq", "--space_extra_arg", "num_layers=3", "--format", "json", "arrow"]
    options += ["--space_extra_arg", "input_shape=(4,)", "--space-extra-arg", "output_shape=2"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    description = read_population(tmp_path).description
    assert description.space == "feed-forward"
    assert description.space_args == {"num_layers": 3}
    assert description.input_shape == (4,)
    assert description.output_shape == (2,)
    assert sorted(contents(tmp_path)) == ["metadata_0.json", "models_0.json", "population_0.arrow"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--population_size=-1"], "population size -1 must be at least 1"),
        (["--population_size=many"], "invalid int value: 'many'"),
        (["--evolve_count=11"], "evolve_count=11 must lie between 0 and the population's size"),
        (["--space=nowhere"], "no search space is called 'nowhere'"),
        (["--space_extra_arg=num_layers"], "must have the form name=value"),
        (["--space_extra_arg=depth=3"], "does not take 'depth'"),
        (["--format=xml"], "invalid choice: 'xml'"),
        (["--initial_population_dir=/nowhere"], "/nowhere is no folder"),
        (["--output_dir=/proc/nowhere"], "name another folder"),
    ],
)
def test_wrong_options_are_told(tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # one rank
    argv = [f"--output_dir={tmp_path / 'out'}", *options]
    assert generate_on_ranks("", evolves=True, argv=argv) == 2
    assert capsys.readouterr().err.count(message) == 1
    assert not list(tmp_path.glob("out/*"))


def test_one_rank_tells_for_all_and_nothing_is_touched(tmp_path):
    initial = tmp_path / "initial"
    assert run_ranks(2, *APP, f"--output_dir={initial}", "--population_size=40")[0] == 0
    out = tmp_path / "out"
    assert run_ranks(2, *APP, f"--output_dir={out}", "--population_size=40")[0] == 0
    before = contents(out)
    path = initial / "metadata_0.json"
    path.write_bytes(path.read_bytes()[:-300])
    options = [f"--initial_population_dir={initial}", "--evolve_count=5", f"--output_dir={out}"]
    code, _, errors = run_ranks(3, *APP, *options)
    assert code != 0
    assert errors.count(f"{path} cannot be read") == 1
    after = contents(out)
    # Parts that could be written appeared; nothing is half written, nothing else is gone.
    assert not [name for name in after if name.startswith(".")]
    assert set(before) <= set(after)


@pytest.mark.slow
def test_a_rank_that_is_killed_leaves_what_was_there(tmp_path):
    out = tmp_path / "out"
    assert run_ranks(2, *APP, f"--output_dir={out}", "--population_size=50")[0] == 0
    before = contents(out)
    process = start_ranks(2, *APP, f"--output_dir={out}", "--population_size=60000", "--seed=1")
    temporary = out / ".models_1.json.part"
    while not temporary.exists():
        assert process.poll() is None
        time.sleep(0.01)
    ranks = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if str(APP[-1]) in child.cmdline() and "mpiexec" not in child.name()
    ]
    os.kill(ranks[-1].pid, signal.SIGKILL)
    code, _, _ = end_ranks(process)
    assert code != 0
    assert not [rank for rank in ranks if rank.is_running()]
    after = contents(out)
    assert {name: data for name, data in after.items() if not name.startswith(".")} == before
    # What lies about is written over by the next run.
    assert run_ranks(2, *APP, f"--output_dir={out}", "--population_size=50")[0] == 0
    assert contents(out) == before


def test_several_ranks_without_mpi4py_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delenv("OMPI_COMM_WORLD_SIZE", raising=False)
    monkeypatch.delenv("PMI_SIZE", raising=False)
    assert mpi.world().Get_size() == 1
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(ConfigError, match=r"parsl-tl\[mpi\]"):
        mpi.world()
