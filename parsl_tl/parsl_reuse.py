"""Using a Parsl configuration again: its executors themselves can be started once."""

from __future__ import annotations

import copy
import inspect
import logging
import math
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import ConfigError

if TYPE_CHECKING:
    import parsl

logger = logging.getLogger(__name__)


def startable(config: parsl.Config) -> parsl.Config:
    """Returns an equal configuration to start, so that the one that is given stays as it is.

    Parsl's executors keep ports and commands of their start. Where a class of the user's own can
    neither be made from its attributes nor copied, it is the configuration itself, which can be
    used once then.

    Raises:
        ConfigError: it was used before.
    """
    if any(getattr(executor, "run_id", None) is not None for executor in config.executors):
        raise ConfigError(
            "this parsl.Config was used before, and Parsl's executors can be started once; make a "
            "new one, give the name or file of a configuration, or run on its kernel: kernel=..."
        )
    try:
        copied: parsl.Config = _made_again(config)
    except Exception as error:  # of a user's classes, whose arguments may be anywhere
        logger.warning(
            "the executors of this parsl.Config can be started once only, and a search that loses "
            "them ends, since one of its classes cannot be copied (%s); give the name or file of a "
            "configuration instead",
            error,
        )
        return config
    return copied


def _made_again(value: Any) -> Any:
    from parsl.utils import RepresentationMixin

    if isinstance(value, list | tuple):
        return type(value)(_made_again(item) for item in value)
    if not isinstance(value, RepresentationMixin):
        return value
    try:
        return _constructed_again(value)
    except Exception:  # its constructor does something of its own with its arguments
        return copy.deepcopy(value)


def _constructed_again(value: Any) -> Any:
    """Calls a constructor again: Parsl's classes keep their arguments as attributes."""
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
    if hasattr(value, "machine"):  # not one of Parsl's arguments
        made.machine = value.machine
    return made
