"""What a Keras function asks for its hyperparameters: the ``hp`` of Keras Tuner's functions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parsl_tl.errors import SpaceError
from parsl_tl.spaces.hp_values import Value, choice_values, float_values, int_values
from parsl_tl.suggestions import did_you_mean

Condition = tuple[str, tuple[Value, ...]]
"""The name of another hyperparameter, and the values of it under which one is active."""


@dataclass(frozen=True)
class Definition:
    """One hyperparameter as a function asks for it.

    Attributes:
        name: as the function calls it.
        values: in order.
        default: one of them.
        conditions: under which it is active, all of them.
        ranges: whether it is a range of numbers.
    """

    name: str
    values: tuple[Value, ...]
    default: Value
    conditions: tuple[Condition, ...] = ()
    ranges: bool = False


class HyperParameters:
    """Answers a function that asks for hyperparameters, and notes what it asks for.

    Names and meanings are those of ``keras_tuner.HyperParameters``: what is not active in its
    conditional scope is None. A range without a step is drawn from a grid, see ``hp_values``.
    """

    def __init__(
        self,
        chosen: Mapping[str, Value] | None = None,
        known: Mapping[str, Definition] | None = None,
        *,
        is_complete: bool = False,
    ) -> None:
        """Begins a run of a function.

        Args:
            chosen: values by label; defaults for all others.
            known: definitions by label.
            is_complete: whether these are all, so that another one is refused.
        """
        self.values: dict[str, Any] = {}
        self.definitions: dict[str, Definition] = dict(known or {})
        self.asked: list[str] = []
        """Labels of the active ones, in the order in which the function asked for them."""
        self._chosen = chosen or {}
        self._is_complete = is_complete
        self._conditions: list[Condition] = []
        self._scopes: list[str] = []

    def Choice(  # noqa: N802 - Keras Tuner's name
        self,
        name: str,
        values: Sequence[Value],
        ordered: bool | None = None,
        default: Value | None = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """Returns one of some values."""
        listed = choice_values(name, values, default)
        first = listed[0] if default is None else default
        return self._ask(name, listed, first, parent_name, parent_values)

    def Int(  # noqa: N802
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str | None = "linear",
        default: int | None = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """Returns an integer of a range, both ends included."""
        listed = int_values(name, min_value, max_value, step, sampling, default)
        first = min_value if default is None else default
        return self._ask(name, listed, first, parent_name, parent_values, ranges=True)

    def Float(  # noqa: N802
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str | None = "linear",
        default: float | None = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """Returns a number of a range, both ends included."""
        listed = float_values(name, min_value, max_value, step, sampling, default)
        first = float(min_value if default is None else default)
        return self._ask(name, listed, first, parent_name, parent_values, ranges=True)

    def Boolean(  # noqa: N802
        self,
        name: str,
        default: bool = False,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """Returns True or False."""
        return self._ask(name, [False, True], default, parent_name, parent_values)

    def Fixed(  # noqa: N802
        self, name: str, value: Value, parent_name: str | None = None, parent_values: Any = None
    ) -> Any:
        """Returns the value; there is nothing to choose."""
        with self._scope_of(parent_name, parent_values):
            if not self._is_active():
                return None
            self.values[self._full_name(name)] = value
            return value

    def get(self, name: str) -> Any:
        """Returns the value of a hyperparameter that was asked for.

        Raises:
            ValueError: it is not active.
            KeyError: there is none.
        """
        full = self._full_name(name)
        if full in self.values:
            return self.values[full]
        if any(known.name == full for known in self.definitions.values()):
            raise ValueError(f"{full} is currently inactive.")
        raise KeyError(f"{full} does not exist.")

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: str) -> bool:
        return self._full_name(name) in self.values

    def is_active(self, name: str) -> bool:
        """Returns whether a hyperparameter that was asked for is active."""
        return self._full_name(name) in self.values

    @contextlib.contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Any) -> Iterator[None]:
        """Makes what is asked for inside active only for some values of another hyperparameter.

        Raises:
            ValueError: nobody asked for the other one yet.
        """
        parent = self._full_name(parent_name)
        known = {one.name for one in self.definitions.values()} | self.values.keys()
        if parent not in known:
            raise ValueError(f"`HyperParameter` named: {parent} not defined.")
        is_list = isinstance(parent_values, list | tuple | set)
        self._conditions.append((parent, tuple(parent_values if is_list else [parent_values])))
        try:
            yield
        finally:
            self._conditions.pop()

    @contextlib.contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Puts a name and a slash in front of all names that are asked for inside."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    @contextlib.contextmanager
    def _scope_of(self, parent_name: str | None, parent_values: Any) -> Iterator[None]:
        if parent_name is None:
            yield
        else:
            with self.conditional_scope(parent_name, parent_values):
                yield

    def _full_name(self, name: str) -> str:
        return "/".join([*self._scopes, str(name)])

    def _is_active(self) -> bool:
        return all(self.values.get(name) in values for name, values in self._conditions)

    def _ask(
        self,
        name: str,
        values: Sequence[Value],
        default: Value,
        parent_name: str | None,
        parent_values: Any,
        *,
        ranges: bool = False,
    ) -> Any:
        with self._scope_of(parent_name, parent_values):
            full, conditions = self._full_name(name), tuple(self._conditions)
            asked = Definition(full, tuple(values), default, conditions, ranges)
            label = self._label(asked)
            if not self._is_active():
                return None
            value = self._chosen.get(label, self.definitions[label].default)
            self.values[full] = value
            if label not in self.asked:
                self.asked.append(label)
            return value

    def _label(self, asked: Definition) -> str:
        """Returns the label of a definition, noting it if it is new.

        One name may be asked for with other values under other conditions. The first definition
        holds for one and the same conditions, as in Keras Tuner.
        """
        for label, known in self.definitions.items():
            if known.name == asked.name and (
                known.conditions == asked.conditions or known.values == asked.values
            ):
                return label
        if self._is_complete:
            near = did_you_mean(asked.name, [one.name for one in self.definitions.values()])
            raise SpaceError(
                f"the function asks for {asked.name!r}, which it did not when its choices were "
                f"looked for{near}; ask for it in every run, in a conditional_scope if it does "
                "not always count"
            )
        label = asked.name
        if label in self.definitions:
            for parent, of in asked.conditions:
                label += f" if {parent}={'|'.join(map(str, of))}"
        self.definitions[label] = asked
        return label
