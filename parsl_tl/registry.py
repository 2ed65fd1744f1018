"""Finding things by name: built in, installed as plug-ins, or a user's own ``module:attribute``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from parsl_tl.errors import ParslTLError
from parsl_tl.imports import import_object, is_import_name
from parsl_tl.suggestions import did_you_mean


class Registry:
    """The names of one kind of thing.

    Args:
        kind: what is found, as messages call it.
        group: the entry point group of plug-ins: ``name = "module:attribute"``.
        error: the class of all errors.
        built_in: by name; what is imported only when it is asked for is ``"module:attribute"``.
    """

    def __init__(
        self, kind: str, group: str, error: type[ParslTLError], built_in: Mapping[str, Any]
    ) -> None:
        self.kind = kind
        self.group = group
        self.error = error
        self._built_in = dict(built_in)

    def names(self) -> list[str]:
        """Returns the names of all that is built in or installed, sorted."""
        return sorted({*self._built_in, *(point.name for point in entry_points(group=self.group))})

    def __contains__(self, name: str) -> bool:
        # What is installed is looked through for other names only: that takes 10 ms.
        return name in self._built_in or bool(entry_points(group=self.group, name=name))

    def find(self, name: str) -> Any:
        """Returns what has a name: a class, a function, or the thing itself.

        Args:
            name: of something built in or installed, or ``"module:attribute"`` or
                ``"file.py:attribute"``.

        Raises:
            ParslTLError: of the registry's class: there is no such name, or it cannot be imported.
        """
        found = self._built_in.get(name, name)
        if not isinstance(found, str):
            return found
        if is_import_name(found):
            return import_object(found, self.kind, self.error)
        for point in entry_points(group=self.group, name=name):
            try:
                return point.load()
            except Exception as error:  # whatever a plug-in may raise
                raise self.error(
                    f"{self.kind} {name!r} is installed as {point.value!r}, but this cannot be "
                    f"imported: {error}"
                ) from error
        raise self.error(
            f"no {self.kind} is called {name!r}{did_you_mean(name, self.names())}; there are "
            f'{", ".join(self.names())}, and "module:attribute" names one of yours'
        )
