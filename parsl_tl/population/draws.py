"""Random architecture sequences and mutations that are addressed by the number of the model.

Every model has draws of its own in one long stream of random numbers, so that any part of a
population can be made anywhere, in any order, and comes out the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError

# Philox gives four numbers of 64 bits for each value of its counter.
_PER_COUNT = 4
_RANDOM, _MUTATION = range(2)
_MAX_VALUES = np.iinfo(np.int16).max


def random_sequences(
    sizes: Sequence[int], seed: int, first: int, count: int, attempt: int = 0
) -> NDArray[np.int16]:
    """Returns architecture sequences drawn uniformly and independently.

    The generator is Philox-4x64 (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
    2011), whose counter is the number of the model.

    Args:
        sizes: how many values each choice has.
        seed: 0 or more.
        first: number of the first model.
        count: how many models.
        attempt: another number for other draws of the same models.

    Returns:
        int16 [count, choices].

    Raises:
        InvalidValueError: a choice has more than 32,767 values, or none; a negative seed.
    """
    words = _words(seed, (attempt, 0, _RANDOM), first, count, len(sizes))
    return _scale(words, _checked(sizes)).astype(np.int16)


def mutated(
    arch_seqs: NDArray[np.int16],
    sizes: Sequence[int],
    weights: NDArray[np.float64],
    seed: int,
    generation: int,
    first: int,
    attempt: int = 0,
) -> NDArray[np.int16]:
    """Returns copies in each of which exactly one choice has another value.

    Args:
        arch_seqs: int16 [n, choices].
        sizes: how many values each choice has.
        weights: float64 [choices], how likely each choice is to change; 0 for choices of one
            value.
        seed: 0 or more.
        generation: how many mutations the population has been through; every one draws anew.
        first: number of the first model.
        attempt: another number for other draws of the same models.

    Raises:
        InvalidValueError: see ``random_sequences``.
    """
    limits = _checked(sizes)
    words = _words(seed, (attempt, generation, _MUTATION), first, len(arch_seqs), 2)
    # Where the running sum of weights passes a number from 0 to below 1.
    bounds = np.cumsum(weights / weights.sum())
    shares = (words[:, 0] >> np.uint64(11)).astype(np.float64) * 2.0**-53
    last = int(np.flatnonzero(weights)[-1])
    positions = np.minimum(np.searchsorted(bounds, shares, side="right"), last)
    # Drawn among the others, so that a child never equals its parent.
    draws = _scale(words[:, 1], limits[positions] - np.uint64(1)).astype(np.int16)
    rows = np.arange(len(arch_seqs))
    children = arch_seqs.copy()
    children[rows, positions] = draws + (draws >= arch_seqs[rows, positions])
    return children


def _checked(sizes: Sequence[int]) -> NDArray[np.uint64]:
    for size in sizes:
        if not 1 <= size <= _MAX_VALUES:
            raise InvalidValueError(
                f"a choice has {size} values; populations hold choices of 1 to {_MAX_VALUES}"
            )
    return np.array(sizes, np.uint64)


def _words(
    seed: int, stream: tuple[int, int, int], first: int, count: int, per_model: int
) -> NDArray[np.uint64]:
    """Returns the random numbers of models, uint64 [count, per_model].

    Args:
        seed: 0 or more.
        stream: attempt, generation and purpose, which have streams of their own.
        first: number of the first model.
        count: how many models.
        per_model: numbers of each.
    """
    attempt, generation, purpose = stream
    if not 0 <= seed < 2**64:
        raise InvalidValueError(f"seed={seed!r} must lie between 0 and 2^64 - 1")
    counts = -(-per_model // _PER_COUNT)
    generator = np.random.Philox(
        key=np.array([seed, attempt << 56 | generation << 8 | purpose], np.uint64)
    )
    generator.advance(first * counts)
    words = generator.random_raw(count * counts * _PER_COUNT)
    return words.reshape(count, counts * _PER_COUNT)[:, :per_model]


def _scale(words: NDArray[np.uint64], sizes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Maps random words to numbers below each size; uneven by less than size / 2^32."""
    scaled: NDArray[np.uint64] = ((words >> np.uint64(32)) * sizes) >> np.uint64(32)
    return scaled
