"""What a search space is."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from parsl_tl.errors import ImpossibleArchitectureError, ParslTLError, SpaceError
from parsl_tl.mpi import mpi_left_alone
from parsl_tl.spaces.built import read_graph, reason_of_keras, with_input_names
from parsl_tl.spaces.head import Head, read_heads
from parsl_tl.spaces.invalidation import count_invalidated
from parsl_tl.spaces.old_assemble import assemble_with_old_parameters, has_old_parameters
from parsl_tl.spaces.shapes import Shapes, input_names, input_shapes

if TYPE_CHECKING:
    import keras

    from parsl_tl.architecture import ArchitectureGraph

__all__ = ["Choice", "SearchSpace", "Shapes", "input_shapes"]


class Choice(NamedTuple):
    """One decision of a space.

    Attributes:
        name: unique in the space.
        values: what can be chosen; readable labels.
    """

    name: str
    values: tuple[str | int | float, ...]


class SearchSpace(ABC):
    """A list of choices. An architecture is one index per choice, its ``arch_seq``.

    Subclasses define ``choices`` and ``assemble``. Where some choices have a meaning only with
    certain values of others, they define ``active``, too.
    """

    name: str = "custom"
    builds_keras_models: bool = False
    """Whether ``assemble`` was seen to give Keras models, which takes much longer than graphs."""
    _last_shapes: tuple[Shapes, list[Head]] | None = None

    @abstractmethod
    def choices(self) -> list[Choice]:
        """Returns the choices, in the order of ``arch_seq``; always the same ones."""

    @abstractmethod
    def assemble(
        self,
        labels: Sequence[str | int | float],
        inputs: list[tuple[int, ...]],
        heads: list[Head],
    ) -> ArchitectureGraph | keras.Model:
        """Builds the graph of the chosen labels; called with checked arguments.

        Args:
            labels: one per choice.
            inputs: a shape for each input, without the batch dimension. Inputs with names come in
                the order of their sorted names.
            heads: the outputs; ``add_heads`` adds their layers, ``apply_heads`` does with Keras.

        Returns:
            The graph; a ``keras.Model`` is as good, as its graph is read from it.

        Raises:
            ImpossibleArchitectureError: no network can be made of these labels.
        """

    def invalidated(self, choice_index: int) -> int:
        """Returns how many later choices lose their trained layers when this one changes.

        By default, it is counted on the graphs of a few architectures, for the shapes that
        ``build`` was called with last; all later choices, if it was never called.
        """
        if self._last_shapes is None:
            return len(self._choices) - 1 - choice_index
        key = repr(self._last_shapes)
        if key not in self._invalidated:
            shapes, heads = self._last_shapes
            sizes = [len(choice.values) for choice in self._choices]
            few = 2 if self.builds_keras_models else 8
            counts = count_invalidated(sizes, lambda seq: self.build(seq, shapes, heads), few)
            self._invalidated = {key: counts}
        return self._invalidated[key][choice_index]

    def active(self, arch_seq: Sequence[int]) -> list[bool]:
        """Returns, for each choice, whether the architecture depends on it; all do by default."""
        return [True] * len(arch_seq)

    def canonical(self, arch_seq: Sequence[int]) -> list[int]:
        """Returns the sequence with inactive choices set to 0: equal for equal architectures.

        Raises:
            SpaceError: a sequence that does not fit the space.
        """
        checked = self.check(arch_seq)
        return [
            index if active else 0
            for index, active in zip(checked, self.active(checked), strict=True)
        ]

    def training(self, arch_seq: Sequence[int]) -> dict[str, Any]:
        """Returns what the choices say of how the architecture is trained.

        Returns:
            Values by the names of a job's training keys, such as ``learning_rate``; none by
            default.
        """
        return {}

    @cached_property
    def _takes_old_parameters(self) -> bool:
        return has_old_parameters(self.assemble)

    @cached_property
    def _invalidated(self) -> dict[str, list[int]]:
        """For the shapes of the last count, one number per choice."""
        return {}

    @cached_property
    def _choices(self) -> list[Choice]:
        return self.choices()

    def check_choices(self) -> None:
        """Refuses what no architecture can be chosen from.

        Raises:
            SpaceError: ``choices`` gives no list of ``Choice``, a name twice, or a choice without
                values.
        """
        try:
            choices = self._choices
        except (SpaceError, MemoryError):
            raise
        except Exception as error:
            raise SpaceError(
                f"the choices of space {self.name!r} cannot be had: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(choices, list | tuple) or not choices:
            raise SpaceError(
                f"the choices of space {self.name!r} are {choices!r}; give a list of Choice, with "
                "one at least"
            )
        names = set()
        for choice in choices:
            if not isinstance(choice, Choice) or not choice.values:
                raise SpaceError(
                    f"{choice!r} of space {self.name!r} must be a Choice with one value at least"
                )
            if choice.name in names:
                raise SpaceError(f"space {self.name!r} has two choices called {choice.name!r}")
            names.add(choice.name)

    def size(self) -> int:
        """Returns the number of architecture sequences."""
        return math.prod(len(choice.values) for choice in self._choices)

    def check(self, arch_seq: Sequence[int]) -> list[int]:
        """Returns the sequence as a list of ``int``.

        Raises:
            SpaceError: another length than there are choices, or an index out of range.
        """
        if len(arch_seq) != len(self._choices):
            raise SpaceError(
                f"an architecture of space {self.name!r} has {len(self._choices)} decisions, "
                f"this sequence has {len(arch_seq)}"
            )
        checked = []
        for index, choice in zip(arch_seq, self._choices, strict=True):
            try:
                value = operator.index(index)
            except TypeError as error:
                raise SpaceError(
                    f"{index!r} for choice {choice.name!r} of space {self.name!r} is no integer"
                ) from error
            if not 0 <= value < len(choice.values):
                raise SpaceError(
                    f"{value} for choice {choice.name!r} of space {self.name!r} is out of range; "
                    f"it has {len(choice.values)} values, counted from 0"
                )
            checked.append(value)
        return checked

    def labels(self, arch_seq: Sequence[int]) -> list[str | int | float]:
        """Returns what was chosen, one label per choice.

        Raises:
            SpaceError: a sequence that does not fit the space.
        """
        chosen = self.check(arch_seq)
        return [choice.values[index] for choice, index in zip(self._choices, chosen, strict=True)]

    def describe(self, arch_seq: Sequence[int]) -> str:
        """Says in one line what an architecture is, for people.

        Raises:
            SpaceError: a sequence that does not fit the space.
        """
        labels = self.labels(arch_seq)
        named = zip(self._choices, labels, self.active(arch_seq), strict=True)
        return ", ".join(f"{choice.name} {label}" for choice, label, active in named if active)

    def build(
        self,
        arch_seq: Sequence[int],
        input_shape: Shapes,
        heads: Sequence[int] | Head | Sequence[Head],
        output_activation: str = "linear",
    ) -> ArchitectureGraph:
        """Builds the graph of an architecture; no weights are involved.

        Args:
            arch_seq: one index per choice.
            input_shape: without the batch dimension; a list of shapes for several inputs, or a
                mapping of their names to shapes.
            heads: the outputs: a ``Head``, a list of those, or ``(units,)`` of one output layer.
            output_activation: of the output layer, where only its units are given: ``softmax`` for
                classes, ``linear`` for regression.

        Raises:
            ImpossibleArchitectureError: there is no network of these choices.
            SpaceError: a sequence or a shape that does not fit the space, or ``assemble`` fails.
        """
        labels = self.labels(arch_seq)
        outputs = read_heads(heads, output_activation)
        shapes = input_shapes(input_shape)
        built = self._assemble(arch_seq, labels, shapes, outputs)
        graph = read_graph(built, self.name, shapes, outputs)
        self.builds_keras_models = graph is not built
        self._last_shapes = (input_shape, outputs)
        names = input_names(input_shape)
        return graph if names is None else with_input_names(graph, names)

    def _assemble(
        self,
        arch_seq: Sequence[int],
        labels: list[str | int | float],
        shapes: list[tuple[int, ...]],
        heads: list[Head],
    ) -> Any:
        try:
            if self._takes_old_parameters:
                return assemble_with_old_parameters(self.assemble, self.name, labels, shapes, heads)
            return self.assemble(labels, shapes, heads)
        except (ParslTLError, MemoryError):
            raise
        except Exception as error:  # whatever a user's space may raise
            reason = reason_of_keras(error)
            if reason is not None:
                raise ImpossibleArchitectureError(reason) from error
            raise SpaceError(
                f"space {self.name!r} cannot build {list(arch_seq)}: {type(error).__name__}: "
                f"{error}"
            ) from error

    def problem(self) -> Any:
        """Returns DeepHyper's ``HpProblem`` with one hyperparameter per choice, an index."""
        with mpi_left_alone():
            from deephyper.hpo import HpProblem

        problem = HpProblem()
        for choice in self._choices:
            count = len(choice.values)
            # A range needs two ends that differ.
            problem.add_hyperparameter((0, count - 1) if count > 1 else [0], choice.name)
        return problem
