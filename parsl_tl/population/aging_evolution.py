"""Aging evolution of architecture sequences on a made-up fitness, at benchmark speed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError
from parsl_tl.spaces import SearchSpace
from parsl_tl.spaces.mutation import uniform_weights

_BLOCK = 16384
_SCALE = 1 << 20

Sequences: TypeAlias = NDArray[np.int8] | NDArray[np.int16]
"""[n, choices]: int8, or int16 where a choice has more than 127 values."""


class SyntheticFitness:
    """A fitness that depends on the architecture sequence and the seed, and on nothing else.

    The sum of one random worth per chosen value, normally distributed with deviation 1, and of a
    noise between -1 and 1 that is drawn from the whole sequence.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        """Draws the table of worths.

        Args:
            space: whose choices count.
            seed: 0 or more.
        """
        rng = np.random.default_rng([seed, 1])
        # Integers, so that differences add up without rounding however long a lineage is.
        self.worths: list[list[int]] = [
            (rng.normal(size=len(choice.values)) * _SCALE).astype(np.int64).tolist()
            for choice in space.choices()
        ]
        self._salt = (seed % 2**64).to_bytes(8, "little")
        self._format = _format_of(sequence_dtype(space))

    def worth(self, arch_seq: bytes) -> int:
        """Returns the sum of worths of a sequence, given as the bytes of its numbers."""
        values = memoryview(arch_seq).cast(self._format)
        return sum(row[value] for row, value in zip(self.worths, values, strict=True))

    def quality(self, arch_seq: bytes, worth: int) -> float:
        """Returns the fitness of a sequence, given as ``worth`` takes it, whose worth is known."""
        digest = hashlib.blake2b(arch_seq, digest_size=8, salt=self._salt).digest()
        noise = int.from_bytes(digest, "little") / 2**63 - 1.0
        return worth / _SCALE + noise

    def qualities(self, arch_seqs: Sequences) -> NDArray[np.float64]:
        """Returns the fitness of each row, float64 [n]."""
        rows = [row.tobytes() for row in arch_seqs]
        return np.array([self.quality(row, self.worth(row)) for row in rows], np.float64)


def sequence_dtype(space: SearchSpace) -> np.dtype[Any]:
    """Returns the dtype of the sequences of a space: int8 where every number fits, else int16.

    Raises:
        InvalidValueError: a choice has more than 32,767 values.
    """
    largest = max(len(choice.values) for choice in space.choices())
    for dtype in (np.dtype(np.int8), np.dtype(np.int16)):
        if largest <= np.iinfo(dtype).max:
            return dtype
    raise InvalidValueError(f"a choice has {largest:,} values, more than the 32,767 that fit")


def _format_of(dtype: np.dtype[Any]) -> Literal["b", "h"]:
    """Returns how ``memoryview`` calls a dtype of sequences."""
    return "b" if dtype.itemsize == 1 else "h"


def random_sequences(space: SearchSpace, num: int, rng: np.random.Generator) -> Sequences:
    """Returns sequences drawn uniformly from the space, [num, choices].

    Raises:
        InvalidValueError: a choice has more than 32,767 values.
    """
    sizes = [len(choice.values) for choice in space.choices()]
    drawn: Sequences = rng.integers(sizes, size=(num, len(sizes)), dtype=sequence_dtype(space))
    return drawn


def mutate_rows(arch_seqs: Sequences, space: SearchSpace, rng: np.random.Generator) -> Sequences:
    """Returns copies, [n, choices], each with one choice changed to another value."""
    positions, draws = _draw_mutations(space, len(arch_seqs), rng)
    rows = np.arange(len(arch_seqs))
    children = arch_seqs.copy()
    children[rows, positions] = draws + (draws >= arch_seqs[rows, positions])
    return children


def _draw_mutations(
    space: SearchSpace, num: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws which choice changes, and to which of its other values: int64 [num] each."""
    sizes = np.array([len(choice.values) for choice in space.choices()])
    positions = rng.choice(len(sizes), size=num, p=uniform_weights(space))
    return positions, rng.integers(sizes[positions] - 1)


def evolve(
    space: SearchSpace,
    num_models: int,
    seed: int,
    window: int,
    sample_size: int,
    progress: Callable[[int], None],
) -> tuple[Sequences, NDArray[np.int64], NDArray[np.float64]]:
    """Evolves sequences; the first ``window`` are random.

    Args:
        space: the search space.
        num_models: how many.
        seed: of all randomness.
        window: how many of the latest are alive.
        sample_size: members drawn, with replacement, of which the best becomes the parent.
        progress: called now and then with the number of sequences so far.

    Returns:
        Sequences, [n, choices]; indices of parents, int64 [n], -1 for none; qualities,
        float64 [n].
    """
    rng = np.random.default_rng([seed, 0])
    fitness = SyntheticFitness(space, seed)
    dtype = sequence_dtype(space)
    format_ = _format_of(dtype)
    arch_seqs = np.empty((num_models, len(space.choices())), dtype)
    parents = np.full(num_models, -1, np.int64)
    num_random = min(window, num_models)
    arch_seqs[:num_random] = random_sequences(space, num_random, rng)

    # Only the window is kept as Python objects, in a ring.
    alive = [row.tobytes() for row in arch_seqs[:num_random]]
    worths = [fitness.worth(row) for row in alive]
    alive_qualities = [fitness.quality(*pair) for pair in zip(alive, worths, strict=True)]
    qualities = np.empty(num_models)
    qualities[:num_random] = alive_qualities

    for start in range(num_random, num_models, _BLOCK):
        progress(start)
        size = min(_BLOCK, num_models - start)
        samples = rng.integers(window, size=(size, sample_size)).tolist()
        positions, draws = _draw_mutations(space, size, rng)
        born, born_parents, born_qualities = [], [], []
        quality_of = alive_qualities.__getitem__
        for index, (sample, position, draw) in enumerate(
            zip(samples, positions.tolist(), draws.tolist(), strict=True), start
        ):
            parent = max(sample, key=quality_of)
            child = bytearray(alive[parent])
            values = memoryview(child).cast(format_)
            old = values[position]
            new = draw + (draw >= old)
            values[position] = new
            row = bytes(child)
            table = fitness.worths[position]
            worth = worths[parent] + table[new] - table[old]
            quality = fitness.quality(row, worth)
            oldest = index % window
            # The parent's index: the latest number that stands at its place in the ring.
            born_parents.append(index - 1 - (oldest - 1 - parent) % window)
            alive[oldest], worths[oldest], alive_qualities[oldest] = row, worth, quality
            born.append(row)
            born_qualities.append(quality)
        end = start + size
        arch_seqs[start:end] = np.frombuffer(b"".join(born), dtype).reshape(size, -1)
        parents[start:end] = born_parents
        qualities[start:end] = born_qualities
    progress(num_models)
    return arch_seqs, parents, qualities
