"""Using a Parsl configuration again: its executors themselves can be started once."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import ConfigError

if TYPE_CHECKING:
    import parsl


def startable(config: parsl.Config) -> parsl.Config:
    """Returns a configuration itself if none of its executors was started, else an equal one.

    Raises:
        ConfigError: it was used, and cannot be made again.
    """
    if all(getattr(executor, "run_id", None) is None for executor in config.executors):
        return config
    try:
        copied: parsl.Config = _made_again(config)
    except Exception as error:  # of a user's classes, whose arguments may be anywhere
        raise ConfigError(
            "this parsl.Config was used before, its executors can be started once, and it cannot "
            f"be copied ({type(error).__name__}: {error}); make a new one, or give the name or "
            "file of a configuration"
        ) from error
    return copied


def _made_again(value: Any) -> Any:
    """Calls constructors again: Parsl's classes keep their arguments as attributes."""
    from parsl.utils import RepresentationMixin

    if isinstance(value, list | tuple):
        return type(value)(_made_again(item) for item in value)
    if not isinstance(value, RepresentationMixin):
        return value
    arguments = {}
    for name, parameter in inspect.signature(type(value)).parameters.items():
        given = getattr(value, name)
        # Parsl turns this default into a number that the constructor does not take.
        if parameter.default is None and isinstance(given, float) and math.isinf(given):
            given = None
        arguments[name] = _made_again(given)
    command = arguments.pop("interchange_launch_cmd", None)
    made = type(value)(**arguments)
    if command is not None:  # a list by now, where MPIExecutor takes a string
        made.interchange_launch_cmd = command
    return made
