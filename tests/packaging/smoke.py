"""Installs a wheel into an empty environment, and does with it what a newcomer does first.

Run as ``python tests/packaging/smoke.py dist/*.whl``. Everything runs in an empty folder, where
nothing of the checkout is found.
"""

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
HAS_IT = """
import parsl_tl
from pathlib import Path
from parsl_tl.configuration import list_configs
assert ".venv" not in parsl_tl.__file__ and "site-packages" in parsl_tl.__file__, parsl_tl.__file__
assert {"local", "local_mpi"} <= {config.name for config in list_configs()}
assert all(Path(parsl_tl.__file__).parent in config.path.parents for config in list_configs())
"""
SEARCH = (
    *("search", "--problem", "digits", "--space", "dense-skip", "--config", "local"),
    *("--max-evals", "4", "--population-size", "2", "--sample-size", "1", "--epochs", "2"),
)


def main(wheel: Path) -> None:
    """Raises CalledProcessError or AssertionError where something is missing."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert not [name for name in names if "test" in Path(name).name and name.endswith(".py")], names
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        venv.create(folder / "env", with_pip=True)
        scripts = folder / "env" / "bin"

        def run(*command: str | Path) -> str:
            print("$", *command, flush=True)
            command = (scripts / command[0], *command[1:])
            done = subprocess.run(
                command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
            )
            return done.stdout

        constraints = str(ROOT / "constraints.txt")
        run("pip", "install", "--quiet", "-c", constraints, f"{wheel.resolve()}[cpu]")
        run("python", "-c", HAS_IT)
        assert "search" in run("parsl-tl", "--help")
        run("parsl-tl", *SEARCH, "--out", "run")
        assert (folder / "run" / "results.csv").read_text().count("\n") == 5
        run("parsl-tl", "store", "verify", "run")
    print(f"{wheel.name}: installed, searched, verified")


if __name__ == "__main__":
    (path,) = sys.argv[1:]
    main(Path(path))
