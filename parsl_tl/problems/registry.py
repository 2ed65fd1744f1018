"""Finding a problem by name: the built-in ones, installed plug-ins, or ``module:attribute``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from parsl_tl.errors import ProblemError
from parsl_tl.imports import import_object, is_import_name, make_object, resolve_import_name
from parsl_tl.problems.digits import Digits
from parsl_tl.problems.problem import Problem
from parsl_tl.problems.synthetic import Synthetic
from parsl_tl.suggestions import did_you_mean

ENTRY_POINT_GROUP: Final = "parsl_tl.problems"
"""Packages add problems under this entry point group: ``name = "module:attribute"``."""

_BUILT_IN: Mapping[str, Callable[..., Any]] = {Digits.name: Digits, Synthetic.name: Synthetic}

_instances: dict[tuple[str, str], Problem] = {}
_lock = threading.Lock()


def list_problems() -> list[str]:
    """Returns the names of all problems that are built in or installed, sorted."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def get_problem(name: str, **kwargs: Any) -> Problem:
    """Returns a problem; the same name and arguments give the same object within a process.

    Args:
        name: of a built-in or installed problem, or ``"module:attribute"`` or
            ``"file.py:attribute"`` of a ``Problem`` instance, or of a callable that makes one.
        **kwargs: passed on to the callable; JSON-able, because they travel with every task.

    Raises:
        ProblemError: no such problem, it refuses the arguments, or it is no ``Problem``.
    """
    name = resolve_import_name(name)
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
        found = make_object(found, kwargs, f"problem {name!r}", ProblemError)
    elif kwargs:
        raise ProblemError(f"{name!r} is a finished problem; it takes no arguments ({kwargs})")
    if not isinstance(found, Problem):
        raise ProblemError(f"{name!r} made {found!r}, which is no parsl_tl.problems.Problem")
    found.check_declaration(name)
    return found


def _find(name: str) -> Any:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if is_import_name(name):
        return import_object(name, "problem", ProblemError)
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            return point.load()
        except Exception as error:  # whatever a plug-in may raise
            raise ProblemError(
                f"problem {name!r} is installed as {point.value!r}, but this cannot be imported: "
                f"{error}"
            ) from error
    raise ProblemError(
        f"no problem is called {name!r}{did_you_mean(name, list_problems())}; there are "
        f"{', '.join(list_problems())}, "
        'and "module:attribute" names one of yours'
    )
