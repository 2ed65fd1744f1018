"""Which architectures a search has asked for, and which are left."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from parsl_tl.spaces import SearchSpace
from parsl_tl.spaces.mutation import random_arch_seq

Identify = Callable[[tuple[int, ...]], Hashable]

NOTHING_LEFT = (
    "Space {space} has no more than {total} different architectures: the search ends with them "
    "(--allow-repeats evaluates them again)"
)

# Larger spaces are not looked through; a random draw finds something new in them.
_MAX_ENUMERATED = 20_000
_DRAWS = 200


class EvaluatedArchitectures:
    """The architectures that were asked for.

    Args:
        space: what is searched.
        identify: gives equal things for sequences of equal architectures; None compares sequences.
    """

    def __init__(self, space: SearchSpace, identify: Identify | None = None) -> None:
        self._space = space
        self._identity: Identify = identify or _itself
        self._known: set[Hashable] = set()

    def add(self, arch_seq: Sequence[int]) -> None:
        """Notes an architecture."""
        self._known.add(self._identity(tuple(arch_seq)))

    def __contains__(self, arch_seq: Sequence[int]) -> bool:
        return self._identity(tuple(arch_seq)) in self._known

    def num_left(self, limit: int) -> int:
        """Counts architectures that were not asked for; not beyond ``limit``.

        A space that is too large to be looked through counts as having that many.
        """
        if self._space.size() > _MAX_ENUMERATED:
            return limit
        found: set[Hashable] = set()
        for arch_seq in self._enumerate(np.arange(self._space.size())):
            if len(found) >= limit:
                break
            if arch_seq not in self:
                found.add(self._identity(tuple(arch_seq)))
        return len(found)

    def draw(self, rng: np.random.Generator) -> list[int] | None:
        """Draws one that was not asked for; None where none is left, or none is found."""
        for _ in range(_DRAWS):
            arch_seq = random_arch_seq(self._space, rng)
            if arch_seq not in self:
                return arch_seq
        if self._space.size() > _MAX_ENUMERATED:
            return None
        order = rng.permutation(self._space.size())
        return next((one for one in self._enumerate(order) if one not in self), None)

    def _enumerate(self, order: np.ndarray) -> Iterator[list[int]]:
        """Gives all sequences, each by its number."""
        sizes = [len(choice.values) for choice in self._space.choices()]
        for number in order:
            yield [int(index) for index in np.unravel_index(int(number), sizes)]


def _itself(arch_seq: tuple[int, ...]) -> Hashable:
    return arch_seq
