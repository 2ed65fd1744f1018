"""What defines a population: space, shapes, seed and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from parsl_tl.errors import PopulationError
from parsl_tl.imports import resolve_import_name
from parsl_tl.population.names import ALIASES
from parsl_tl.spaces import SearchSpace, get_space


@dataclass(frozen=True)
class PopulationDescription:
    """Everything that a population follows from, besides the population it was evolved from.

    Attributes:
        size: models in all.
        seed: of all randomness; 0 or more.
        space: name of the search space.
        space_args: its arguments.
        input_shape: without the batch dimension; a list of shapes for several inputs.
        output_shape: ``(units,)`` of the output layer.
        output_activation: of the output layer.
        generation: how often some of its members were mutated.
    """

    size: int
    seed: int = 0
    space: str = "dense-skip"
    space_args: Mapping[str, Any] = field(default_factory=dict)
    input_shape: Any = (32,)
    output_shape: tuple[int, ...] = (1,)
    output_activation: str = "linear"
    generation: int = 0

    def __post_init__(self) -> None:
        """Refuses what can never work.

        Raises:
            PopulationError: a size or a seed that is negative.
        """
        if not isinstance(self.size, int) or self.size < 1:
            raise PopulationError(f"population size {self.size!r} must be at least 1")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**64:
            raise PopulationError(f"seed {self.seed!r} must lie between 0 and 2^64 - 1")

    @classmethod
    def of(cls, size: int, *, space: str = "skip", **kwargs: Any) -> PopulationDescription:
        """Makes a description, with the short names of spaces resolved.

        Args:
            size: models in all.
            space: a short name (``skip``, ``seq``), or whatever ``get_space`` takes.
            **kwargs: see the attributes.

        Raises:
            PopulationError: a size or a seed that is negative.
        """
        name, defaults = ALIASES.get(space, (space, {}))
        name = resolve_import_name(name)
        space_args = {**defaults, **kwargs.pop("space_args", {})}
        return cls(size, space=name, space_args=space_args, **kwargs)

    def make_space(self) -> SearchSpace:
        """Makes the search space.

        Raises:
            SpaceError: see ``get_space``.
        """
        return get_space(self.space, **self.space_args)

    def evolved(self, seed: int) -> PopulationDescription:
        """Returns the description of the population after one more generation."""
        return replace(self, seed=seed, generation=self.generation + 1)

    def to_dict(self) -> dict[str, Any]:
        """Returns what ``from_dict`` takes, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PopulationDescription:
        """Reads what ``to_dict`` gave, back from JSON.

        Raises:
            PopulationError: a value is missing or of the wrong kind.
        """
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        if not isinstance(known.get("size"), int):
            raise PopulationError(f"a population of size {known.get('size')!r} is none")
        for name in ("input_shape", "output_shape"):
            if name in known:
                known[name] = _tuples(known[name])
        return cls(**known)


def _tuples(shape: Any) -> Any:
    """JSON knows no tuples: a shape becomes one, a list of shapes a list of those."""
    if all(isinstance(size, int) for size in shape):
        return tuple(shape)
    return [tuple(item) for item in shape]
