"""Finding a problem by name: the built-in ones, installed plug-ins, or ``module:attribute``."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from parsl_tl.errors import ProblemError
from parsl_tl.problems.digits import Digits
from parsl_tl.problems.problem import Problem
from parsl_tl.problems.synthetic import Synthetic

ENTRY_POINT_GROUP: Final = "parsl_tl.problems"
"""Packages add problems under this entry point group: ``name = "module:attribute"``."""

_BUILT_IN: Mapping[str, Callable[..., Any]] = {Digits.name: Digits, Synthetic.name: Synthetic}

_instances: dict[tuple[str, str], Problem] = {}
_lock = threading.Lock()


def list_problems() -> list[str]:
    """Gives the names of all problems that are built in or installed, sorted."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def get_problem(name: str, **kwargs: Any) -> Problem:
    """Gives a problem; the same name and arguments give the same object within a process.

    Args:
        name: of a built-in or installed problem, or ``"module:attribute"`` of a ``Problem``
            instance, or of a callable that makes one.
        **kwargs: passed on to the callable; JSON-able, because they travel with every task.

    Raises:
        ProblemError: no such problem, it refuses the arguments, or it is no ``Problem``.
    """
    try:
        key = (name, json.dumps(kwargs, sort_keys=True))
    except TypeError as error:
        raise ProblemError(
            f"arguments of problem {name!r} must be JSON-able, got {kwargs!r}: {error}"
        ) from error
    with _lock:
        if key not in _instances:
            _instances[key] = _make(name, kwargs)
        return _instances[key]


def _make(name: str, kwargs: Mapping[str, Any]) -> Problem:
    found = _find(name)
    if not isinstance(found, Problem):
        if not callable(found):
            raise ProblemError(f"{name!r} is {found!r}; it must be a Problem or make one")
        try:
            found = found(**kwargs)
        except TypeError as error:
            raise ProblemError(f"problem {name!r} does not take {dict(kwargs)}: {error}") from error
    elif kwargs:
        raise ProblemError(f"{name!r} is a finished problem; it takes no arguments ({kwargs})")
    if not isinstance(found, Problem):
        raise ProblemError(f"{name!r} made {found!r}, which is no parsl_tl.problems.Problem")
    return found


def _find(name: str) -> Any:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError, ValueError) as error:
            raise ProblemError(f"problem {name!r} cannot be imported: {error}") from error
        return found
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            raise ProblemError(
                f"problem {name!r} is installed as {point.value!r}, but this cannot be imported: "
                f"{error}"
            ) from error
    raise ProblemError(
        f"no problem is called {name!r}; there are {', '.join(list_problems())}, "
        'and "module:attribute" names one of yours'
    )
