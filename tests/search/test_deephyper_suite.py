"""DeepHyper's own tests of evaluators, searches and stoppers, on ParslEvaluator."""

import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FILES = (
    "tests/evaluator/test__callback.py",
    "tests/evaluator/test__decorator.py",
    "tests/evaluator/test__evaluator.py",
    "tests/evaluator/test__local_pickling.py",
    "tests/evaluator/test_queued_evaluator.py",
    "tests/evaluator/storage",
    "tests/hpo/test__random.py",
    "tests/hpo/test__regevo.py",
    "tests/hpo/test_search_params.py",
    "tests/hpo/test_search_timeout.py",
    "tests/hpo/test_search_without_csv.py",
    "tests/stopper",
)
LEFT_OUT = (
    # A minute of DeepHyper's surrogate model.
    "tests/stopper/test__sha_stopper.py::test_successive_halving_stopper_with_failing_evaluations",
    # They want the very object of the storage, as only evaluators within the process can have it.
    "tests/evaluator/storage/test_memory_storage.py::test_with_evaluator",
    "tests/evaluator/storage/test_shared_memory_storage.py::test_with_evaluator",
    # It forks searches; a Parsl kernel does not outlive a fork.
    "tests/hpo/test__random.py::test_decentralized_random_search_shared_memory_storage",
)
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def sources(tmp_path_factory, request):
    """DeepHyper's source distribution of the installed version, which holds its tests."""
    name = f"deephyper-{version('deephyper')}"
    kept = Path(request.config.cache.mkdir("deephyper-sources"))
    if not (kept / f"{name}.tar.gz").exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary"]
        command += ["deephyper", "--dest", str(kept), name.replace("-", "==")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            pytest.skip(f"the sources of {name} cannot be had: {reason}")
    folder = tmp_path_factory.mktemp("deephyper")
    with tarfile.open(kept / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name


def run(sources, tests, *plugins):
    """Returns pytest's exit status, which tests failed, and what it printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider"]
    command += ["--tb=short", "--show-capture=no", "--timeout=120", *plugins]
    known = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": f"{SUPPORT}{os.pathsep}{known}"}
    done = subprocess.run(
        [*command, *tests],
        cwd=sources,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    failed = re.findall(r"^(?:FAILED|ERROR) (tests/\S+)", done.stdout, re.MULTILINE)
    return done.returncode, failed, done.stdout


def test_what_passes_with_deephypers_evaluators_passes_with_ours(sources):
    left_out = [f"--deselect={test}" for test in LEFT_OUT]
    status, failed, output = run(sources, [*FILES, *left_out], "-p", "deephyper_on_parsl")
    assert status in (0, 1), output
    passed = re.search(r"(\d+) passed", output)
    assert passed is not None, output
    assert int(passed[1]) + len(failed) > 30, output
    if failed:  # some of them time a search, which a busy machine fails with any evaluator
        _, own, _ = run(sources, failed)
        assert set(failed) <= set(own), output
