"""Old names, which work for one release longer and tell what replaces them."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

_T = TypeVar("_T")
_Function = TypeVar("_Function", bound=Callable[..., Any])


def warn_renamed(old: str, new: str, stacklevel: int = 2) -> None:
    """Warns that a name is an old one.

    Args:
        old: the name that was used.
        new: what replaces it.
        stacklevel: 1 blames the caller of this function, 2 the caller of that, and so on.
    """
    warnings.warn(
        f"{old} is deprecated and goes in the next release; use {new}",
        DeprecationWarning,
        stacklevel + 1,
    )


def moved_names(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns a ``__getattr__`` for a module of which names have moved, or changed.

    Args:
        module: its ``__name__``.
        names: for each old name, ``module:name`` of what it stands for.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = names[name].partition(":")
        warn_renamed(f"{module}.{name}", f"{home}.{new}")
        return getattr(importlib.import_module(home), new)

    return get


def renamed_method(old: str, new: str) -> Callable[..., Any]:
    """Returns a method that stands for another one under its old name."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        warn_renamed(f"{type(self).__name__}.{old}", new)
        return getattr(self, new)(*args, **kwargs)

    method.__name__ = old
    method.__doc__ = f"Deprecated: use ``{new}``."
    return method


def renamed_arguments(**names: str) -> Callable[[_Function], _Function]:
    """Lets a function take keyword arguments by their old names, too.

    Args:
        **names: new names by old ones.
    """

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old in names.keys() & kwargs.keys():
                warn_renamed(f"{old}=", f"{names[old]}=")
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


Renamed: TypeAlias = Mapping[str, tuple[str, Callable[[Any], Any]]]
"""For each old key the new one, and what makes the new value of the old one."""


def same(value: _T) -> _T:
    """Returns the value: for keys of which only the name has changed."""
    return value


def renamed_keys(
    values: Mapping[str, Any], names: Renamed, *, warns: bool = True
) -> dict[str, Any]:
    """Returns a mapping with new keys in place of old ones.

    Args:
        values: the mapping.
        names: the old keys.
        warns: False where the mapping is from a file that an earlier release wrote.
    """
    renamed = dict(values)
    for old in names.keys() & values.keys():
        new, convert = names[old]
        if warns:
            warn_renamed(f"{old!r}", f"{new!r}", 3)
        renamed[new] = convert(renamed.pop(old))
    return renamed


def renamed_fields(names: Renamed) -> Callable[[type[_T]], type[_T]]:
    """Lets a frozen, keyword-only dataclass be made, and read, with the old names of fields.

    Args:
        names: the old names; what converts a value converts it back as well.
    """

    def decorate(cls: type[_T]) -> type[_T]:
        init: Callable[..., None] = cls.__init__
        new: Callable[..., _T] = cls.__new__

        def make(cls: type[_T], **values: Any) -> _T:
            return new(cls, **renamed_keys(values, names, warns=False))

        @functools.wraps(init)
        def fill(self: _T, **values: Any) -> None:
            init(self, **renamed_keys(values, names))

        setattr(cls, "__new__", make)  # noqa: B010
        setattr(cls, "__init__", fill)  # noqa: B010
        for old, (name, convert) in names.items():
            setattr(cls, old, _renamed_field(old, name, convert))
        return cls

    return decorate


def _renamed_field(old: str, new: str, convert: Callable[[Any], Any]) -> property:
    def get(self: object) -> Any:
        warn_renamed(f"{type(self).__name__}.{old}", new)
        return convert(getattr(self, new))

    return property(get, doc=f"Deprecated: use ``{new}``.")
