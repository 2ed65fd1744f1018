"""Where Keras' other backends lie, which are not imported unless a test names them."""

import importlib.util
import os
import sys
from pathlib import Path

# `make` installs JAX here, out of the way of all processes that do not ask for it.
_FOLDER = Path(sys.prefix) / "jax"


def has_backend(name: str) -> bool:
    """Tells whether processes with `environment_of(name)` can import the backend."""
    return importlib.util.find_spec(name) is not None or (_FOLDER / name).is_dir()


def environment_of(name: str) -> dict[str, str]:
    """Returns the environment of a process that uses this backend of Keras."""
    environment = {**os.environ, "KERAS_BACKEND": name}
    if (_FOLDER / name).is_dir():
        paths = [str(_FOLDER), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment
