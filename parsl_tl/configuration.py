"""Executor configurations by name: one file per machine, with a function ``config``.

A configuration and its options are one text, as that of an address on the web:
``polaris?account=my-project&queue=debug``. Options may also be in the environment, such as
``PARSL_TL_CONFIG_ACCOUNT``; what is given goes before it.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from parsl_tl.arguments import literal
from parsl_tl.errors import ConfigError
from parsl_tl.imports import add_import_folders, import_object, is_import_name, make_object
from parsl_tl.suggestions import did_you_mean
from parsl_tl.worker_pool import COMMAND, use_watched_pool

if TYPE_CHECKING:
    import parsl

_VARIABLE = "PARSL_TL_CONFIG_"


class ConfigFile(NamedTuple):
    """A configuration that can be loaded by name.

    Attributes:
        name: what ``load_config`` takes.
        path: the file.
        summary: first line of its docstring.
    """

    name: str
    path: Path
    summary: str


def _folders() -> list[Path]:
    package = Path(__file__).resolve().parent
    # Beside the modules when installed; beside the package in a checkout.
    return [package / "configs", package.parent / "configs"]


def list_configs() -> list[ConfigFile]:
    """Returns the configurations that come with the package, by name."""
    found = []
    for name, path in sorted(_paths().items()):
        summary = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
        found.append(ConfigFile(name, path, summary))
    return found


def _paths() -> dict[str, Path]:
    """Returns the files of the configurations that come with the package, by name."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.py")) if folder.is_dir() else []:
            if not path.stem.startswith("_"):
                found.setdefault(path.stem, path)
    return found


def name_with_options(name: str, options: Mapping[str, Any]) -> str:
    """Returns one text for a configuration and its options, which ``load_config`` takes."""
    return f"{name}{'&' if '?' in name else '?'}{urlencode(options)}" if options else name


def load_config(name_or_path: str | os.PathLike[str], **kwargs: Any) -> parsl.Config:
    """Makes the Parsl configuration of a machine.

    Args:
        name_or_path: a name of ``list_configs``, or the path of a file with
            ``def config(...) -> parsl.Config``, or ``module:function`` or ``file.py:function``;
            with options after a question mark, as in ``polaris?account=my-project&queue=debug``.
        **kwargs: arguments of that function, such as ``max_workers=2``. Those that are None are
            left out, so that the file's own defaults hold.

    Raises:
        ConfigError: an unknown name, a file without the function, or arguments it does not take.
    """
    import parsl

    _put_parsl_on_path()
    text, make, options = _read(os.fspath(name_or_path))
    what = f"config {text!r}"
    options.update({key: value for key, value in kwargs.items() if value is not None})
    config = make_object(make, options, what, ConfigError)
    if not isinstance(config, parsl.Config):
        raise ConfigError(f"{what} gives a {type(config).__name__}, not a parsl.Config")
    for executor in config.executors:
        use_watched_pool(executor)
    return config


def config_options(name_or_path: str) -> dict[str, Any]:
    """Returns every option of a configuration, with the value that ``load_config`` would give it.

    Raises:
        ConfigError: see ``load_config``.
    """
    _, make, options = _read(name_or_path)
    defaults = {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(make).parameters.items()
    }
    return {**defaults, **options}


def config_machine(name_or_path: str) -> Any:
    """Returns the ``Machine`` that a configuration is made of, or None.

    Raises:
        ConfigError: see ``load_config``.
    """
    _, make, options = _read(name_or_path)
    if machine := getattr(make, "__self__", None):
        return machine
    describe = getattr(make, "machine", None)
    return None if describe is None else describe(**options)


def _read(name_and_options: str) -> tuple[str, Callable[..., Any], dict[str, Any]]:
    """Returns the name, its function, and the options of the text and of the environment."""
    text, _, query = name_and_options.partition("?")
    if is_import_name(text):
        make = import_object(text, "config", ConfigError)
        if not callable(make):
            raise ConfigError(
                f"config {text!r} is {make!r}; it must be a function that makes a Config"
            )
    else:
        make = _function_of(_find(text))
    options = _options_of_environment(make)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ConfigError(
            f"config {name_and_options!r}: what is after ? must be name=value&name=value"
        ) from error
    options.update((name, literal(value)) for name, value in pairs)
    return text, make, options


def _options_of_environment(make: Callable[..., Any]) -> dict[str, Any]:
    """Reads those that the function takes; others may be meant for another machine."""
    try:
        names = inspect.signature(make).parameters
    except (TypeError, ValueError):  # some that are written in C have none
        return {}
    given = {name: os.environ.get(_VARIABLE + name.upper()) for name in names}
    return {name: literal(value) for name, value in given.items() if value is not None}


def _function_of(path: Path) -> Callable[..., Any]:
    """Runs a file, anew each time, and returns its function ``config``."""
    add_import_folders([str(path.absolute().parent)])
    spec = importlib.util.spec_from_file_location(f"parsl_tl_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported; it must be a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file may raise
        raise ConfigError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    make = getattr(module, "config", None)
    if not callable(make):
        raise ConfigError(f"{path} has no function `config`; see the files of `parsl-tl configs`")
    return make  # type: ignore[no-any-return]


def _find(text: str) -> Path:
    if text.endswith(".py") or os.sep in text:
        path = Path(text).expanduser()
        if not path.is_file():
            raise ConfigError(f"no such configuration file: {path}")
        return path
    known = dict(sorted(_paths().items()))  # parsing all of them is not for several threads
    if text not in known:
        raise ConfigError(
            f"unknown configuration {text!r}{did_you_mean(text, known)}; choose from "
            f"{', '.join(known) or 'none'}, "
            "or give the path of a file with a function `config`"
        )
    return known[text]


def _put_parsl_on_path() -> None:
    """Lets blocks find their program when a virtual environment is used without activation."""
    if shutil.which(COMMAND) is None:
        folder = str(Path(sys.executable).parent)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
