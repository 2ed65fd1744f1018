"""The scripts in ``apps/``, found by name wherever the package is."""

from __future__ import annotations

from pathlib import Path

from parsl_tl.errors import ConfigError


def application(name: str) -> Path:
    """Returns the path of a script, such as ``bench_writes``.

    Raises:
        ConfigError: it is not there.
    """
    package = Path(__file__).resolve().parent
    # Beside the modules when installed; beside the package in a checkout.
    for folder in (package / "apps", package.parent / "apps"):
        path = folder / f"{name}.py"
        if path.is_file():
            return path
    raise ConfigError(f"the script {name}.py is not installed; install parsl_tl anew")
