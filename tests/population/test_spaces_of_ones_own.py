"""A space that lies in the current folder of whoever plans a population."""

import pickle
import subprocess
import sys

import pytest

from parsl_tl.population import PopulationDescription, plan

SOURCE = """
from parsl_tl.spaces import FeedForwardSpace

class Small(FeedForwardSpace):
    def __init__(self):
        super().__init__(num_layers=2)
"""


@pytest.mark.parametrize("name", ["space_here:Small", "space_here.py:Small"])
def test_workers_find_it_from_another_folder(tmp_path, monkeypatch, name):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "space_here.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path / "here")
    path = list(sys.path)
    try:
        task = plan(PopulationDescription.of(5, space=name), tmp_path / "population")
    finally:
        sys.path[:] = path
        sys.modules.pop("space_here", None)
    code = (
        "import pickle, sys; from parsl_tl.population import write_part\n"
        "print(write_part(pickle.load(sys.stdin.buffer), 0, 1).models)"
    )
    worker = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(task),
        capture_output=True,
        cwd=tmp_path / "there",
        timeout=300,
    )
    assert worker.stdout.decode().strip() == "5", worker.stderr.decode()
