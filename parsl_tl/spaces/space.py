"""What a search space is."""

from __future__ import annotations

import math
import operator
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from parsl_tl.errors import ParslTLError, SpaceError
from parsl_tl.mpi import mpi_left_alone

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph

Shapes = Sequence[int] | Sequence[Sequence[int]]


class Choice(NamedTuple):
    """One decision of a space.

    Attributes:
        name: unique in the space.
        values: what can be chosen; readable labels.
    """

    name: str
    values: tuple[str | int, ...]


class SearchSpace(ABC):
    """A list of choices. An architecture is one index per choice, its ``arch_seq``.

    Subclasses define ``choices``, ``assemble`` and ``invalidated``.
    """

    name: str = "custom"
    builds_keras_models: bool = False
    """Whether ``assemble`` was seen to give Keras models, which takes much longer than graphs."""

    @abstractmethod
    def choices(self) -> list[Choice]:
        """Returns the choices, in the order of ``arch_seq``; always the same ones."""

    @abstractmethod
    def assemble(
        self,
        labels: Sequence[str | int],
        input_shapes: list[tuple[int, ...]],
        units: int,
        output_activation: str,
    ) -> ArchitectureGraph:
        """Builds the graph of the chosen labels, one per choice; called with checked arguments.

        A ``keras.Model`` is as good: its graph is read from it.
        """

    @abstractmethod
    def invalidated(self, choice_index: int) -> int:
        """Returns how many later choices lose their trained layers when this one changes."""

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

    def labels(self, arch_seq: Sequence[int]) -> list[str | int]:
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
        named = zip(self._choices, self.labels(arch_seq), strict=True)
        return ", ".join(f"{choice.name} {label}" for choice, label in named)

    def build(
        self,
        arch_seq: Sequence[int],
        input_shape: Shapes,
        output_shape: Sequence[int],
        output_activation: str = "linear",
    ) -> ArchitectureGraph:
        """Builds the graph of an architecture; neither Keras nor weights are involved.

        Args:
            arch_seq: one index per choice.
            input_shape: without the batch dimension; a list of shapes for several inputs.
            output_shape: ``(units,)`` of the output layer.
            output_activation: ``softmax`` for classes, ``linear`` for regression.

        Raises:
            SpaceError: a sequence or a shape that does not fit the space, or ``assemble`` fails.
        """
        labels = self.labels(arch_seq)
        if len(output_shape) != 1 or not _is_shape(output_shape):
            raise SpaceError(f"output shape {output_shape!r} must be (units,), units at least 1")
        shapes = input_shapes(input_shape)
        try:
            built = self.assemble(labels, shapes, int(output_shape[0]), output_activation)
        except (ParslTLError, MemoryError):
            raise
        except Exception as error:  # whatever a user's space may raise
            raise SpaceError(
                f"space {self.name!r} cannot build {list(arch_seq)}: {type(error).__name__}: "
                f"{error}"
            ) from error
        graph = _as_graph(built, self.name)
        self.builds_keras_models = graph is not built
        return graph

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


def _as_graph(built: Any, name: str) -> ArchitectureGraph:
    """Reads what a space has built: a graph, or a Keras model.

    Raises:
        SpaceError: it is neither.
    """
    from parsl_tl.architecture import ArchitectureGraph

    if isinstance(built, ArchitectureGraph):
        return built
    keras = sys.modules.get("keras")  # who made a model has loaded it
    if keras is not None and isinstance(built, keras.Model):
        return ArchitectureGraph.from_keras(built)
    raise SpaceError(
        f"assemble of space {name!r} gives a {type(built).__name__}; it must return an "
        "ArchitectureGraph (GraphBuilder.build makes one) or a keras.Model"
    )


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list | tuple) and all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape
    )


def input_shapes(shape: Any) -> list[tuple[int, ...]]:
    """Returns the shapes of a model's inputs, from one shape or a list of shapes.

    Raises:
        SpaceError: it is neither.
    """
    shapes = [shape] if _is_shape(shape) and shape else shape
    if not isinstance(shapes, list | tuple) or not shapes or not all(map(_is_shape, shapes)):
        raise SpaceError(
            f"input shape {shape!r} must be a tuple of sizes, such as (64,), or a list of those"
        )
    return [tuple(item) for item in shapes]
