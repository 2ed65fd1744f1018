"""Mutation: a child differs from its parent in one choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError, SpaceError
from parsl_tl.spaces.space import SearchSpace


def choice_weights(space: SearchSpace, beta: float = 1.0) -> NDArray[np.float64]:
    """Returns how likely each choice is to be the one that mutates.

    Choices are grouped by how many later ones a change of them invalidates. Group weights grow
    linearly from 1, for the group that invalidates most, to ``beta``, for the one that invalidates
    least, and are shared equally within a group. With ``beta`` 1 all groups are equally likely;
    larger values change late layers more often, so that longer prefixes are inherited.

    Args:
        space: the search space.
        beta: weight of the last group beside the first; at least 1.

    Returns:
        One probability per choice; 0 for choices with a single value.

    Raises:
        InvalidValueError: beta is less than 1 or not finite.
        SpaceError: no choice has more than one value.
    """
    if not (np.isfinite(beta) and beta >= 1):
        raise InvalidValueError(f"beta={beta!r} must be a number of at least 1")
    groups: dict[int, list[int]] = {}
    for index, choice in enumerate(space.choices()):
        if len(choice.values) > 1:
            groups.setdefault(space.invalidated(index), []).append(index)
    if not groups:
        raise SpaceError(f"space {space.name!r} leaves nothing to choose, so nothing can mutate")
    weights = np.zeros(len(space.choices()))
    for weight, group in zip(
        np.linspace(1.0, beta, len(groups)), sorted(groups, reverse=True), strict=True
    ):
        weights[groups[group]] = weight / len(groups[group])
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


def uniform_weights(space: SearchSpace) -> NDArray[np.float64]:
    """Returns equal probabilities for all choices that have more than one value.

    Raises:
        SpaceError: there is no such choice.
    """
    weights = np.array([float(len(choice.values) > 1) for choice in space.choices()])
    if not weights.any():
        raise SpaceError(f"space {space.name!r} leaves nothing to choose, so nothing can mutate")
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


def mutate(
    arch_seq: Sequence[int],
    space: SearchSpace,
    rng: np.random.Generator,
    weights: NDArray[np.float64],
) -> list[int]:
    """Returns a copy in which one choice that is active in it has another value.

    Args:
        arch_seq: the parent.
        space: its search space.
        rng: source of randomness.
        weights: probability of each choice, from ``choice_weights``.

    Raises:
        SpaceError: no active choice has another value.
    """
    child = list(arch_seq)
    active = space.active(child)
    if not all(active):
        weights = np.where(active, weights, 0.0)
        if not weights.any():
            raise SpaceError(
                f"nothing can change in {child} of space {space.name!r}: none of its active "
                "choices has another value"
            )
        weights = weights / weights.sum()
    index = int(rng.choice(len(child), p=weights))
    # Drawn among the others, so that the child never equals its parent.
    value = int(rng.integers(len(space._choices[index].values) - 1))
    child[index] = value + (value >= child[index])
    return child


def random_arch_seq(space: SearchSpace, rng: np.random.Generator) -> list[int]:
    """Returns an architecture sequence drawn uniformly from the space."""
    return [int(rng.integers(len(choice.values))) for choice in space._choices]
