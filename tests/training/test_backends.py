"""The backends of Keras train, and inherit from each other."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from backends import environment_of, has_backend

from parsl_tl.spaces import get_space

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[1] / "support" / "backend_run.py"
OTHERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(not has_backend(name), reason=f"pip install 'parsl-tl[{name}]'"),
    )
    for name in ("jax", "torch")
]


def train(backend, store, model_id, parent, ends):
    choices = len(get_space("dense-skip", num_layers=3).choices())
    job = {
        "problem": "digits",
        "space": "dense-skip",
        "space_args": {"num_layers": 3},
        "arch_seq": [1] * (choices - len(ends)) + ends,
        "training": {"epochs": 3, "cut_prefix": "always"},
        "store": f"embedded:{store}",
        "model_id": model_id,
        "parent": parent,
        "seed": 0,
        "threads": 1,
    }
    run = subprocess.run(
        [sys.executable, SCRIPT, json.dumps(job)],
        env=environment_of(backend),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["metadata"]["error"] is None
    return result


@pytest.mark.parametrize("backend", OTHERS)
def test_a_model_of_one_backend_is_a_donor_under_another(tmp_path, backend):
    first = train("tensorflow", tmp_path / "s", 1, None, [1, 1])
    second = train(backend, tmp_path / "s", 2, 1, [1, 0])
    third = train("tensorflow", tmp_path / "s", 3, 2, [0, 1])
    for result, donors in ((second, {1}), (third, {1, 2})):
        metadata = result["metadata"]
        assert metadata["donor"] in donors
        assert 0 < metadata["layers_transferred"] < metadata["layers_total"]
        assert metadata["frontier_bytes"] > 0
        assert len(metadata["history"]["val_accuracy"]) == 3
        # It learns: ten classes, and weights that have seen the data.
        assert result["objective"] > 0.15
    # Equal weights predict alike, whoever trained them and whoever computes.
    for earlier, later in ((first, second), (second, third)):
        for model_id, values in earlier["predictions"].items():
            np.testing.assert_allclose(later["predictions"][model_id], values, atol=2e-5)


@pytest.mark.skipif(not has_backend("torch"), reason="pip install 'parsl-tl[torch]'")
@pytest.mark.parametrize(("given", "taken"), [(None, "PASSIVE"), ("active", "ACTIVE")])
def test_torch_does_not_keep_cores_busy_while_it_waits(given, taken):
    environment = environment_of("torch") | {"OMP_DISPLAY_ENV": "true"}
    environment.pop("OMP_WAIT_POLICY", None)
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    program = "from parsl_tl.training.runtime import configure_threads; configure_threads(2)"
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    # What PyTorch's own OpenMP says as it is loaded.
    assert f"OMP_WAIT_POLICY = '{taken}'" in run.stderr
