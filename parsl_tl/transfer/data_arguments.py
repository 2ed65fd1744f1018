"""What a transfer method is told about the data, if it takes that."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


def data_arguments(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Returns those of the arguments that a call of a transfer method takes and that say something.

    Methods that were written before there were fingerprints go on as they did: they may give
    weights of other data. The log tells so, once for each class.

    Args:
        call: ``transfer`` or ``store`` of a method.
        **arguments: ``fingerprints`` for ``transfer``, ``fingerprint`` for ``store``; None and 0
            say nothing.
    """
    given = {name: value for name, value in arguments.items() if value not in (None, 0)}
    if not given:
        return {}
    parameters = inspect.signature(call).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return given
    for name in sorted(given.keys() - parameters.keys()):
        _tell_once(getattr(call, "__qualname__", repr(call)), name)
    return {name: value for name, value in given.items() if name in parameters}


@functools.cache
def _tell_once(call: str, name: str) -> None:
    logger.warning(
        "%s takes no argument %r: donors may be of other data. Add it, as TransferMethod has it",
        call,
        name,
    )
