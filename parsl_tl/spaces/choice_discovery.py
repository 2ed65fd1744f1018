"""Finds the choices of a Keras function by running it.

Whether it asks for one hyperparameter may depend on the values of others. It is run with defaults,
then with other values of each hyperparameter that it asked for, until nothing new is found. Of a
range, the ends are tried first, and all of it if they make a difference. In the end, a few random
values are tried together.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from parsl_tl.errors import ImpossibleArchitectureError, SpaceError
from parsl_tl.spaces.hp import Definition, HyperParameters
from parsl_tl.spaces.hp_values import Value

Run = Callable[[HyperParameters], object]
Values = Mapping[str, Value]

_MAX_RUNS = 3000
_MAX_CHOICES = 500
_RANDOM_RUNS = 10
_SECONDS_BETWEEN_LINES = 5.0


class ChoiceDiscovery:
    """The choices of a function, and which of them are active with which values.

    Attributes:
        definitions: by label, in the order in which the function asks for them.
    """

    def __init__(self, run: Run, name: str) -> None:
        """Finds the choices.

        Args:
            run: runs the function, which raises whatever it raises.
            name: of the space, for messages.

        Raises:
            SpaceError: the function asks for nothing, or for more and more.
            Exception: whatever the function raises with its defaults.
        """
        self.definitions: dict[str, Definition] = {}
        self._run = run
        self._name = name
        self._num_runs = 0
        self._is_explored = False
        self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        # Choices whose values decide for what else the function asks.
        self._structural: set[str] = set()
        self._traces: dict[tuple[tuple[str, Value], ...], str | tuple[str, ...]] = {}
        self._complete: dict[frozenset[tuple[str, Value]], tuple[Values, tuple[str, ...]]] = {}
        self._has_warned = False
        self._explore()

    def active(self, values: Values) -> frozenset[str]:
        """Returns the labels of what the function asks for, with these values of all labels."""
        path: tuple[tuple[str, Value], ...] = ()
        while True:
            step = self._traces.get(path)
            if step is None:
                asked, is_complete = self._trace(values)
                if is_complete:
                    self._note(values, asked)
                return frozenset(asked)
            if isinstance(step, tuple):
                return frozenset(step)
            path += ((step, values[step]),)

    def _explore(self) -> None:
        asked, is_complete = self._trace({}, may_fail=False)
        found: dict[str, tuple[Values, tuple[str, ...], bool]] = {}
        queue: deque[str] = deque()

        def add(values: Values, asked: Sequence[str], is_complete: bool) -> None:
            for label in asked:
                if label not in found:
                    found[label] = (values, tuple(asked), is_complete)
                    queue.append(label)

        add({}, asked, is_complete)
        rng = np.random.default_rng(0)
        random_runs = 0
        while queue or random_runs < _RANDOM_RUNS:
            if not queue:
                random_runs += 1
                values = {
                    label: one.values[int(rng.integers(len(one.values)))]
                    for label, one in self.definitions.items()
                }
                add(values, *self._trace(values))
                continue
            label = queue.popleft()
            base, usual, is_known = found[label]
            differs = False
            for value in self._to_try(label, base):
                values = {**base, label: value}
                asked, is_complete = self._trace(values)
                differs |= is_complete and is_known and asked != usual
                if differs or not is_complete or not is_known:
                    self._structural.add(label)
                add(values, asked, is_complete)
            if differs:
                for value in self.definitions[label].values:
                    add(values := {**base, label: value}, *self._trace(values))
        if not self.definitions:
            raise SpaceError(
                f"function {self._name!r} asks hp for nothing; ask for hp.Int, hp.Float, hp.Choice "
                "or hp.Boolean"
            )
        self._check_structure()
        self._is_explored = True

    def _to_try(self, label: str, base: Values) -> list[Value]:
        one = self.definitions[label]
        values = (one.values[0], one.values[-1]) if one.ranges else one.values
        return [value for value in values if value != base.get(label, one.default)]

    def _check_structure(self) -> None:
        """Notes all traces; where they contradict each other, every choice may be structural."""
        defaults = {label: one.default for label, one in self.definitions.items()}
        for values, asked in self._complete.values():
            self._note({**defaults, **values}, asked)
        for values, asked in list(self._complete.values()):
            if self.active({**defaults, **values}) != frozenset(asked):
                self._structural = set(self.definitions)
                self._traces.clear()
                for other, other_asked in self._complete.values():
                    self._note({**defaults, **other}, other_asked)
                return

    def _note(self, values: Values, asked: Sequence[str]) -> None:
        path: tuple[tuple[str, Value], ...] = ()
        for label in asked:
            if label in self._structural:
                self._traces[path] = label
                path += ((label, values[label]),)
        self._traces[path] = tuple(asked)

    def _trace(self, values: Values, *, may_fail: bool = True) -> tuple[tuple[str, ...], bool]:
        """Runs the function.

        Returns:
            Labels of what it asked for, and whether it came to its end. An architecture that it
            cannot build is told when it is built.
        """
        known = self._complete.get(frozenset(values.items()))
        if known is not None:
            return known[1], True
        self._num_runs += 1
        self._tell()
        hp = HyperParameters(values, self.definitions, is_complete=self._is_explored)
        is_complete = True
        try:
            self._run(hp)
        except MemoryError:
            raise
        except Exception as error:
            if not may_fail:
                raise
            is_complete = False
            self._warn(values, error)
        self._add_definitions(hp)
        asked = tuple(hp.asked)
        if is_complete:
            self._complete[frozenset(values.items())] = (dict(values), asked)
        return asked, is_complete

    def _add_definitions(self, hp: HyperParameters) -> None:
        """Takes in what is new, each behind the one that was asked for before it."""
        new = [label for label in hp.definitions if label not in self.definitions]
        if not new:
            return
        order = list(self.definitions)
        for label in new:
            place = len(order)
            if label in hp.asked:
                before = hp.asked[: hp.asked.index(label)]
                place = order.index(before[-1]) + 1 if before else 0
            order.insert(place, label)
        self.definitions = {label: hp.definitions[label] for label in order}
        if len(order) > _MAX_CHOICES:
            raise SpaceError(f"function {self._name!r} asks for more than {_MAX_CHOICES} choices")

    def _warn(self, values: Values, error: Exception) -> None:
        """Says once that the function fails with some values, unless that is meant."""
        if self._has_warned or isinstance(error, ImpossibleArchitectureError):
            return
        self._has_warned = True
        told = str(error).strip().partition("\n")[0]
        warnings.warn(
            f"function {self._name!r} fails with {dict(values)}: {type(error).__name__}: {told}; "
            "such architectures will fail in a search (raise ImpossibleArchitectureError where "
            "values do not go together)",
            RuntimeWarning,
            stacklevel=2,
        )

    def _tell(self) -> None:
        if self._num_runs > _MAX_RUNS and not self._is_explored:
            raise SpaceError(
                f"function {self._name!r} was run {_MAX_RUNS} times, and {len(self.definitions)} "
                "choices were found, but not all; let fewer values decide what else it asks for"
            )
        now = time.monotonic()
        if now >= self._next_line and not self._is_explored:
            self._next_line = now + _SECONDS_BETWEEN_LINES
            print(
                f"Looking for the choices of {self._name}: run {self._num_runs}, "
                f"{len(self.definitions)} found",
                file=sys.stderr,
                flush=True,
            )
