"""Hyperparameters that are chosen beside the architecture, and are part of no hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import SpaceError
from parsl_tl.spaces.space import Choice, SearchSpace

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph


class WithHyperparameters(SearchSpace):
    """A space with further choices behind its own: of training options.

    Args:
        space: what is searched.
        hyperparameters: values to choose from, by name of a training option.

    Raises:
        SpaceError: an option without values, or one that is called as a choice of the space is.
    """

    def __init__(self, space: SearchSpace, hyperparameters: Mapping[str, Sequence[Any]]) -> None:
        self.name = space.name
        self.space = space
        self._values: dict[str, list[Any]] = {}
        own = {choice.name for choice in space.choices()}
        for name, values in hyperparameters.items():
            listed = [values] if isinstance(values, str) else list(values)
            if not listed:
                raise SpaceError(f"hyperparameter {name!r} has no values to choose from")
            if name in own:
                raise SpaceError(f"hyperparameter {name!r} is a choice of space {self.name!r}, too")
            self._values[name] = listed

    @property
    def builds_keras_models(self) -> bool:  # type: ignore[override]
        """Whether the space was seen to give Keras models."""
        return self.space.builds_keras_models

    def choices(self) -> list[Choice]:
        """Returns the space's choices, and one for each hyperparameter."""
        own = [Choice(name, tuple(map(str, values))) for name, values in self._values.items()]
        return [*self.space.choices(), *own]

    def invalidated(self, choice_index: int) -> int:
        """Returns 0 for a hyperparameter: the network stays as it is."""
        return 0 if choice_index >= self._count else self.space.invalidated(choice_index)

    def active(self, arch_seq: Sequence[int]) -> list[bool]:
        """See ``SearchSpace.active``; hyperparameters are always in use."""
        return [*self.space.active(arch_seq[: self._count]), *([True] * len(self._values))]

    def training(self, arch_seq: Sequence[int]) -> dict[str, Any]:
        """Returns what the choices say of training."""
        chosen = self.check(arch_seq)
        own = zip(self._values.items(), chosen[self._count :], strict=True)
        return {
            **self.space.training(chosen[: self._count]),
            **{name: values[index] for (name, values), index in own},
        }

    def describe(self, arch_seq: Sequence[int]) -> str:
        """Says what the architecture is, and how it is trained."""
        chosen = self.check(arch_seq)
        own = zip(self._values.items(), chosen[self._count :], strict=True)
        trained = ", ".join(f"{name} {values[index]}" for (name, values), index in own)
        return f"{self.space.describe(chosen[: self._count])}; {trained}"

    def build(self, arch_seq: Sequence[int], *shapes: Any, **keywords: Any) -> ArchitectureGraph:
        """Builds the graph of the architecture alone; see ``SearchSpace.build``."""
        return self.space.build(self.check(arch_seq)[: self._count], *shapes, **keywords)

    def assemble(self, labels: Any, inputs: Any, heads: Any) -> Any:
        """See ``SearchSpace.assemble``."""
        return self.space.assemble(labels[: self._count], inputs, heads)

    @property
    def _count(self) -> int:
        return len(self.space.choices())


def with_hyperparameters(
    space: SearchSpace, hyperparameters: Mapping[str, Sequence[Any]] | None
) -> SearchSpace:
    """Returns the space with these hyperparameters to choose, or itself if there are none."""
    return WithHyperparameters(space, hyperparameters) if hyperparameters else space
