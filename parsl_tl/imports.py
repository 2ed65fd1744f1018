"""Objects of a user's own, by the name of their module or file.

``package.module:attribute`` is looked for where Python looks, and then in the current folder;
``folder/file.py:attribute`` is that file. Workers have another working directory, so that names
travel with the folders they were found in.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from parsl_tl.errors import ParslTLError
from parsl_tl.suggestions import check_names


def is_import_name(name: str) -> bool:
    """Whether a name has the form ``module:attribute`` or ``file.py:attribute``."""
    module, colon, attribute = name.rpartition(":")
    return bool(colon and module and attribute)


def resolve_import_name(name: str) -> str:
    """Makes the path of a file absolute; returns every other name as it is."""
    module, _, attribute = name.rpartition(":")
    if not module.endswith(".py"):
        return name
    return f"{Path(module).expanduser().absolute()}:{attribute}"


def import_object(name: str, what: str, error: type[ParslTLError]) -> Any:
    """Imports an object.

    Args:
        name: ``package.module:attribute`` or ``file.py:attribute``; attributes may be nested.
        what: what it is, as messages begin.
        error: the class of the error.

    Raises:
        ParslTLError: of that class, whatever the module raised while it was imported.
    """
    module_name, _, attribute = name.rpartition(":")
    try:
        if module_name.endswith(".py"):
            module = _import_file(Path(module_name).expanduser().absolute())
        else:
            module = _import_module(module_name)
    except MemoryError:
        raise
    except (Exception, SystemExit) as problem:  # whatever a user's module may raise
        raise error(
            f"{what} {name!r} cannot be imported: {type(problem).__name__}: {problem}"
        ) from problem
    found: Any = module
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError as problem:
        place = getattr(module, "__file__", None) or "built in"
        raise error(
            f"{what} {name!r} cannot be imported: module {module.__name__!r} ({place}) has no "
            f"{attribute!r}"
        ) from problem
    return found


def _import_module(name: str) -> ModuleType:
    top = name.partition(".")[0]
    if top not in sys.modules and top and importlib.util.find_spec(top) is None:
        here = Path.cwd()
        if (here / f"{top}.py").is_file() or (here / top).is_dir():
            add_import_folders([str(here)])
    return importlib.import_module(name)


def _import_file(path: Path) -> ModuleType:
    """Imports a file under its own name, as if its folder were on Python's path."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None:
        if _file_of(loaded) != path.resolve():
            raise ImportError(
                f"another module is called {name!r} ({_file_of(loaded) or 'built in'}); "
                "give the file another name"
            )
        return loaded
    add_import_folders([str(path.parent)])
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def import_folders(names: Iterable[str]) -> list[str]:
    """Returns the folders that workers need on their path to import what was imported here.

    Args:
        names: of objects; those that are no ``module:attribute`` need none.
    """
    folders: list[str] = []
    for name in names:
        module_name = name.rpartition(":")[0]
        module = sys.modules.get(module_name)
        file = getattr(module, "__file__", None)
        if module is None or file is None or not is_import_name(name):
            continue
        depth = module_name.count(".") + (Path(file).name == "__init__.py")
        folder = Path(file).absolute().parents[depth]
        if not _is_installed(folder) and str(folder) not in folders:
            folders.append(str(folder))
    return folders


def _is_installed(folder: Path) -> bool:
    if folder == Path(__file__).absolute().parents[1]:  # workers have this package, too
        return True
    paths = sysconfig.get_paths()
    return any(folder.is_relative_to(paths[key]) for key in ("stdlib", "purelib", "platlib"))


def add_import_folders(folders: Iterable[str]) -> None:
    """Lets modules of these folders be imported, after everything that is installed."""
    for folder in folders:
        if folder not in sys.path:
            sys.path.append(folder)
            importlib.invalidate_caches()


def make_object(
    maker: Callable[..., Any], kwargs: Mapping[str, Any], what: str, error: type[ParslTLError]
) -> Any:
    """Calls a class or a function of a user's.

    Args:
        maker: what is called.
        kwargs: its arguments.
        what: what it makes, as messages begin.
        error: the class of the error.

    Raises:
        ParslTLError: of that class: arguments that it does not take, with the nearest one that it
            does, or whatever it raised. What is one already passes.
    """
    try:
        signature = inspect.signature(maker)
    except (TypeError, ValueError):  # some that are written in C have none
        signature = None
    if signature is not None:
        _check_arguments(signature, kwargs, what, error)
    try:
        return maker(**kwargs)
    except (ParslTLError, MemoryError):
        raise
    except Exception as problem:
        raise error(
            f"{what} cannot be made with {dict(kwargs)}: {type(problem).__name__}: {problem}"
        ) from problem


def _check_arguments(
    signature: inspect.Signature,
    kwargs: Mapping[str, Any],
    what: str,
    error: type[ParslTLError],
) -> None:
    parameters = signature.parameters.values()
    if not any(item.kind is item.VAR_KEYWORD for item in parameters):
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        check_names(kwargs, [item.name for item in parameters if item.kind in named], what, error)
    try:
        signature.bind(**kwargs)
    except TypeError as problem:
        raise error(f"{what} does not take {dict(kwargs)}: {problem}") from problem
