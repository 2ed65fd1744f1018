"""Finding a problem by name: the built-in ones, installed plug-ins, or ``module:attribute``."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from parsl_tl.errors import ProblemError
from parsl_tl.imports import make_object, resolve_import_name
from parsl_tl.problems.problem import Problem
from parsl_tl.registry import Registry

ENTRY_POINT_GROUP: Final = "parsl_tl.problems"
"""Packages add problems under this entry point group: ``name = "module:attribute"``."""

_REGISTRY: Final = Registry(
    "problem",
    ENTRY_POINT_GROUP,
    ProblemError,
    {
        "attn": "parsl_tl.problems.attn:Attn",
        "cifar10": "parsl_tl.problems.cifar10:Cifar10",
        "combo": "parsl_tl.problems.combo:Combo",
        "csv": "parsl_tl.problems.csv_table:CsvTable",
        "digits": "parsl_tl.problems.digits:Digits",
        "fashion-mnist": "parsl_tl.problems.idx_images:FashionMnist",
        "images": "parsl_tl.problems.image_folder:ImageFolder",
        "khan": "parsl_tl.problems.khan:Khan",
        "mnist": "parsl_tl.problems.idx_images:Mnist",
        "nasbench201": "parsl_tl.problems.nasbench201:NasBench201",
        "npz": "parsl_tl.problems.npz:Npz",
        "nt3": "parsl_tl.problems.nt3:NT3",
        "synthetic": "parsl_tl.problems.synthetic:Synthetic",
        "uno": "parsl_tl.problems.uno:Uno",
    },
)

_instances: dict[tuple[str, str], Problem] = {}
_lock = threading.Lock()


def list_problems() -> list[str]:
    """Returns the names of all problems that are built in or installed, sorted."""
    return _REGISTRY.names()


class ProblemDescription(NamedTuple):
    """What a problem is, without making it.

    Attributes:
        summary: the first line of its docstring.
        arguments: their names; those that must be given end in ``=``.
    """

    summary: str
    arguments: tuple[str, ...]


def describe_problem(name: str) -> ProblemDescription:
    """Tells what a problem is; no data is looked for.

    Raises:
        ProblemError: no such problem, or it cannot be imported.
    """
    found = find_problem(name)
    summary = (inspect.getdoc(found) or "").partition("\n")[0].replace("``", "")
    if not callable(found):
        return ProblemDescription(summary, ())
    parameters = inspect.signature(found).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return ProblemDescription(
        summary, tuple(p.name + ("=" if p.default is p.empty else "") for p in named)
    )


def find_problem(name: str) -> Any:
    """Returns what ``get_problem`` makes a problem with: a class, say.

    Raises:
        ProblemError: no such problem, or it cannot be imported.
    """
    return _REGISTRY.find(resolve_import_name(name))


def resolve_paths(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Makes paths among a problem's arguments mean the same from every folder.

    Args:
        name: see ``get_problem``.
        kwargs: arguments; those that the problem's ``paths`` names become absolute.

    Raises:
        ProblemError: no such problem.
    """
    paths = getattr(find_problem(name), "paths", ())
    return {
        key: str(Path(value).expanduser().absolute())
        if key in paths and isinstance(value, str)
        else value
        for key, value in kwargs.items()
    }


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
    found = _REGISTRY.find(name)
    if not isinstance(found, Problem):
        if not callable(found):
            raise ProblemError(f"{name!r} is {found!r}; it must be a Problem or make one")
        found = make_object(found, kwargs, f"problem {name!r}", ProblemError)
    elif kwargs:
        raise ProblemError(f"{name!r} is a finished problem; it takes no arguments ({kwargs})")
    if not isinstance(found, Problem):
        raise ProblemError(f"{name!r} made {found!r}, which is no parsl_tl.problems.Problem")
    found.check_declaration(name)
    found.arguments = dict(kwargs)
    return found
