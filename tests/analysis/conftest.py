"""Populations in files, and the apps as a user runs them."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from parsl_tl.population import PopulationDescription, plan, write_part

APPS = Path(__file__).parents[2] / "apps"


@pytest.fixture
def run_app(tmp_path):
    """Runs an app; gives its exit code, output and errors."""

    def run(name, *arguments):
        command = [sys.executable, str(APPS / name), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs an app, in this process, that has to refuse its input; gives the line that it says."""

    def run(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(APPS / name), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(sys.argv[0], run_name="__main__")
        told = capsys.readouterr().err
        assert ended.value.code == 2, told
        assert told.count("\n") == 1, told
        assert told.startswith(f"{name}: error: ")
        return told

    return run


def write_population(folder, size=60, parts=1, formats=("json", "parquet"), **kwargs):
    description = PopulationDescription.of(size, **kwargs)
    task = plan(description, folder, formats)
    for part in range(parts):
        write_part(task, part, parts)
    return folder


def evolve_population(before, folder, count, seed=1):
    task = plan(None, folder, ("arrow",), initial_folder=before, evolve_count=count, seed=seed)
    write_part(task, 0, 1)
    return folder


@pytest.fixture(scope="session")
def population(tmp_path_factory):
    """60 dense-skip members, in two parts."""
    folder = tmp_path_factory.mktemp("population") / "random"
    return write_population(folder, parts=2, space_args={"num_layers": 4})


@pytest.fixture(scope="session")
def generations(population, tmp_path_factory):
    """The population, and two generations after it."""
    folder = tmp_path_factory.mktemp("generations")
    first = evolve_population(population, folder / "first", 20)
    return [population, first, evolve_population(first, folder / "second", 10, seed=2)]


@pytest.fixture(scope="session")
def sequential_population(tmp_path_factory):
    """2,000 feed-forward members."""
    folder = tmp_path_factory.mktemp("sequential") / "random"
    return write_population(folder, 2000, space="seq", formats=("parquet",))
