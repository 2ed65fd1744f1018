"""What comes back from a user's function in a worker: always bytes, or an error that can travel.

Results and exceptions of a user's own cross from process to process as pickles. One that cannot be
read where it arrives would take Parsl's receiving thread with it, and whoever waits would wait for
ever. So Parsl carries bytes here, which the caller reads where an error is only an error.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

from parsl_tl.errors import EvaluationFailedError, InfrastructureError
from parsl_tl.events import Carried, Slices, continued

_MAX_LENGTH = 2000
_PLAIN = b"pickle\n"  # no identifier of Parsl's serializers
_OF_A_SCRIPT = b"__main__"


def pack(value: Any) -> bytes:
    """Returns a value as bytes, with what pickles functions and classes of scripts."""
    # Parsl's serializer, dill, is written in Python: it takes milliseconds for what takes pickle
    # some tens of microseconds. Pickle knows things by their modules, and a script's is another
    # one where the bytes are read.
    try:
        plain = pickle.dumps(value, protocol=5)
    except Exception:  # whatever pickle, or a class of the user's, cannot do
        plain = _OF_A_SCRIPT
    if _OF_A_SCRIPT not in plain:
        return _PLAIN + plain
    from parsl.serialize import serialize

    packed: bytes = serialize([value])  # in a list, since functions go another way by themselves
    return packed


def unpack(packed: bytes) -> Any:
    """Returns what ``pack`` was given; raises whatever its reading raises."""
    if packed.startswith(_PLAIN):
        return pickle.loads(memoryview(packed)[len(_PLAIN) :])
    from parsl.serialize import deserialize

    return deserialize(packed)[0]


def timed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[float, Any]:
    """Calls a function; returns the seconds that it took, and what it returned."""
    begun = time.monotonic()
    result = function(*args, **kwargs)
    return time.monotonic() - begun, result


def run_packed(call: bytes, trace: Carried | None = None, **limits: Any) -> bytes:
    """Calls a function; this is what travels to a worker.

    Args:
        call: the function, its arguments and its keyword arguments, packed.
        trace: the span that this is part of, and where it is recorded; None records nothing.
        **limits: ``walltime`` in seconds, which Parsl enforces around this call.

    Returns:
        The result, packed.

    Raises:
        EvaluationFailedError: in place of whatever was raised, ``SystemExit`` included.
        AppTimeout: the walltime is over.
        InfrastructureError: as the function raised it.
    """
    parts = Slices(time.time_ns())
    with continued(trace, "run", begin_ns=parts.end_ns) as whole:
        try:
            return _run_packed(call, parts)
        finally:
            whole.ends_at(parts.end_ns)


def _run_packed(call: bytes, parts: Slices) -> bytes:
    from parsl.app.errors import AppTimeout

    step = "the run function cannot be read in the worker: "
    try:
        with parts.part("unpack"):
            function, args, kwargs = unpack(call)
        step = ""
        with parts.part("call"):
            result = function(*args, **kwargs)
        step = "what the run function returned cannot be sent: "
        with parts.part("pack"):
            return pack(result)
    except (AppTimeout, InfrastructureError):
        raise
    except BaseException as error:
        failure = EvaluationFailedError(type(error).__name__, step + text_of(error))
    raise failure  # outside, so that the error itself does not come along as its context


def text_of(error: BaseException) -> str:
    """Returns an exception's message, bounded; an exception may fail at that, too."""
    try:
        text = str(error)
    except Exception as another:
        text = f"no message: {type(another).__name__} in its __str__"
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 3] + "..."
