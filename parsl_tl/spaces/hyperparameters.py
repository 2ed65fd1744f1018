"""A space of architectures, and hyperparameters of their training beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parsl_tl.errors import SpaceError
from parsl_tl.spaces.head import Head
from parsl_tl.spaces.space import Choice, SearchSpace


class WithHyperparameters(SearchSpace):
    """The choices of a space, and behind them one for each hyperparameter.

    What is chosen of the hyperparameters is no part of an architecture's graph: ``training`` tells
    it. A child that differs from its parent in these alone can take over all of its weights.
    """

    def __init__(
        self,
        space: SearchSpace,
        hyperparameters: Mapping[str, Sequence[str | int | float]],
    ) -> None:
        """Puts hyperparameters beside a space.

        Args:
            space: of the architectures.
            hyperparameters: values to choose from by a job's training key, such as
                ``{"learning_rate": [1e-4, 1e-3], "batch_size": [32, 64]}``.

        Raises:
            SpaceError: none, one without values or with a value twice, or one that is called as a
                choice of the space.
        """
        if not hyperparameters:
            raise SpaceError("no hyperparameters; use the space by itself")
        self.space = space
        self.name = space.name
        self._own = [
            Choice(name, _checked(name, values)) for name, values in hyperparameters.items()
        ]
        self._num_before = len(space.choices())
        taken = {choice.name for choice in space.choices()} & hyperparameters.keys()
        if taken:
            raise SpaceError(
                f"{min(taken)!r} is a choice of space {space.name!r}; it cannot be a "
                "hyperparameter beside it, too"
            )

    @property
    def builds_keras_models(self) -> bool:  # type: ignore[override]
        """Whether the space builds Keras models."""
        return self.space.builds_keras_models

    def choices(self) -> list[Choice]:
        """Returns the space's choices, then one for each hyperparameter."""
        return [*self.space.choices(), *self._own]

    def invalidated(self, choice_index: int) -> int:
        """Returns what the space says; no layer depends on a hyperparameter."""
        before = choice_index < self._num_before
        return self.space.invalidated(choice_index) if before else 0

    def active(self, arch_seq: Sequence[int]) -> list[bool]:
        """Returns what the space says; hyperparameters always are."""
        return [*self.space.active(self._architecture(arch_seq)), *(True for _ in self._own)]

    def training(self, arch_seq: Sequence[int]) -> dict[str, Any]:
        """Returns the chosen values, and what the space itself says of training.

        Raises:
            SpaceError: a sequence that does not fit.
        """
        chosen = self.labels(arch_seq)[self._num_before :]
        names = [choice.name for choice in self._own]
        said = self.space.training(self._architecture(arch_seq))
        return {**said, **dict(zip(names, chosen, strict=True))}

    def describe(self, arch_seq: Sequence[int]) -> str:
        """Says what the architecture is, and then the hyperparameters."""
        chosen = self.labels(arch_seq)[self._num_before :]
        told = (f"{own.name} {value}" for own, value in zip(self._own, chosen, strict=True))
        return ", ".join([self.space.describe(self._architecture(arch_seq)), *told])

    def build(
        self,
        arch_seq: Sequence[int],
        input_shape: Any,
        heads: Any,
        output_activation: str = "linear",
    ) -> Any:
        """Builds the space's architecture; see ``SearchSpace.build``."""
        own = self._architecture(self.check(arch_seq))
        return self.space.build(own, input_shape, heads, output_activation)

    def assemble(
        self,
        labels: Sequence[str | int | float],
        inputs: list[tuple[int, ...]],
        heads: list[Head],
    ) -> Any:
        """See ``SearchSpace.assemble``."""
        return self.space.assemble(labels[: self._num_before], inputs, heads)

    def _architecture(self, arch_seq: Sequence[int]) -> list[int]:
        return list(arch_seq[: self._num_before])


def _checked(name: str, values: Any) -> tuple[str | int | float, ...]:
    kinds = str | int | float
    if (
        isinstance(values, str)
        or not isinstance(values, Sequence)
        or not values
        or not all(isinstance(value, kinds) for value in values)
        or len(set(values)) != len(values)
    ):
        raise SpaceError(
            f"hyperparameter {name!r} has the values {values!r}; give a list of different texts or "
            "numbers to choose from"
        )
    return tuple(values)


def with_hyperparameters(
    space: SearchSpace, hyperparameters: Mapping[str, Sequence[str | int | float]] | None
) -> SearchSpace:
    """Returns the space with these hyperparameters beside it, or itself if there are none."""
    return WithHyperparameters(space, hyperparameters) if hyperparameters else space
