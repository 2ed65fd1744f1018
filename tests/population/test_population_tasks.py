"""Populations as Parsl tasks, on real workers."""

import subprocess
import sys

import parsl
import pytest

from parsl_tl import load_config
from parsl_tl.cli import main
from parsl_tl.errors import PopulationError
from parsl_tl.population import PopulationDescription, plan, read_population, write_part
from parsl_tl.tasks import evolve_population, generate_population

pytestmark = pytest.mark.slow


def lines_of(folder):
    paths = sorted(folder.glob("models_*.json"), key=lambda path: int(path.stem.split("_")[1]))
    return b"".join(path.read_bytes() for path in paths).splitlines()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parsl")
    with parsl.load(load_config("local", max_workers=2, run_dir=str(folder))) as kernel:
        yield kernel


def test_tasks_give_what_one_process_gives(tmp_path, kernel):
    description = PopulationDescription.of(300, seed=4)
    write_part(plan(description, tmp_path / "alone"), 0, 1)
    futures = generate_population(description, tmp_path / "tasks", parts=7, kernel=kernel)
    reports = futures.whole.result()
    assert [report.part for report in reports] == list(range(7))
    assert [future.result() for future in futures.parts] == reports
    assert sum(report.models for report in reports) == 300
    assert lines_of(tmp_path / "tasks") == lines_of(tmp_path / "alone")

    futures = evolve_population(
        tmp_path / "tasks", tmp_path / "evolved", 40, seed=2, parts=3, kernel=kernel
    )
    assert len(futures.whole.result()) == 3
    before, after = read_population(tmp_path / "tasks"), read_population(tmp_path / "evolved")
    changed = (before.arch_seqs() != after.arch_seqs()).sum(axis=1)
    assert changed.tolist() == [1] * 40 + [0] * 260


def test_a_part_that_fails_tells_why(tmp_path, kernel):
    description = PopulationDescription.of(300)
    generate_population(description, tmp_path / "p", parts=2, kernel=kernel).whole.result()
    path = tmp_path / "p" / "metadata_1.json"
    path.write_bytes(path.read_bytes()[:-500])
    futures = evolve_population(tmp_path / "p", tmp_path / "q", 10, parts=2, kernel=kernel)
    with pytest.raises(PopulationError, match=r"metadata_1\.json cannot be read"):
        futures.parts[1].result()
    assert futures.whole.exception() is not None


def test_the_command(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "parsl_tl.cli", "generate", "--population-size", "200"]
    done = subprocess.run(
        [*command, "--output-dir", "out", "--parts", "4", "--workers", "2"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "100% 200 written" in done.stdout
    assert len(lines_of(out)) == 200
    assert len(list(out.glob("population_*.parquet"))) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_the_command_refuses(tmp_path, capsys):
    assert main(["generate", "--parts", "0", "--output-dir", str(tmp_path)]) == 2
    assert "--parts 0" in capsys.readouterr().err
    assert main(["generate", "--population-size", "0", "--output-dir", str(tmp_path)]) == 2
    assert "population size 0" in capsys.readouterr().err
