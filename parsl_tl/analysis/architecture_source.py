"""Where architectures are drawn from: a search space, or choices in sequence by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError
from parsl_tl.native import native
from parsl_tl.population import assembler_for
from parsl_tl.spaces import SearchSpace, Shapes

_CHUNK = 4096
Sequences = NDArray[np.integer]


class KeyedModels(NamedTuple):
    """Models as sets of keys, in flat arrays.

    Attributes:
        starts: int64 [n + 1]; the keys of model i stand from ``starts[i]`` on.
        keys: uint64; equal keys mean an equal layer with an equal history.
    """

    starts: NDArray[np.int64]
    keys: NDArray[np.uint64]

    def head(self, num: int) -> KeyedModels:
        """Returns the first models."""
        return self.part(0, num)

    def part(self, first: int, end: int) -> KeyedModels:
        """Returns the models from ``first`` to before ``end``."""
        starts = self.starts[first : end + 1]
        return KeyedModels(starts - starts[0], self.keys[starts[0] : starts[-1]])

    def sizes(self) -> NDArray[np.int64]:
        """Returns the number of keys of each model, int64 [n]."""
        return np.diff(self.starts)


class ArchitectureSource(Protocol):
    """Draws architectures, and says what they have in common.

    Attributes:
        unit: what is counted.
        always: how many of those all architectures share.
    """

    unit: str
    always: int

    def random(self, num: int, rng: np.random.Generator) -> Sequences:
        """Draws sequences uniformly, [num, choices]."""
        ...

    def keys(self, arch_seqs: Sequences) -> KeyedModels:
        """Returns the keys of architectures."""
        ...


class SpaceSource:
    """Architectures of a search space; what they have in common is counted in layers."""

    unit = "layers"

    def __init__(
        self,
        space: SearchSpace,
        input_shape: Shapes,
        output_shape: Sequence[int],
        output_activation: str = "linear",
    ) -> None:
        """See ``SearchSpace.build``.

        Raises:
            SpaceError: a shape that does not fit the space.
        """
        self.space = space
        self._sizes = [len(choice.values) for choice in space.choices()]
        first = space.build([0] * len(self._sizes), input_shape, output_shape, output_activation)
        self.always = len(first.inputs)
        self._assembler = assembler_for(space, input_shape, output_shape, output_activation)

    def random(self, num: int, rng: np.random.Generator) -> Sequences:
        """See ``ArchitectureSource``."""
        return rng.integers(self._sizes, size=(num, len(self._sizes)), dtype=np.int16)

    def keys(self, arch_seqs: Sequences) -> KeyedModels:
        """See ``ArchitectureSource``; one key per layer."""
        starts, keys = [np.zeros(1, np.int64)], []
        for first in range(0, len(arch_seqs), _CHUNK):
            flat = self._assembler.assemble(arch_seqs[first : first + _CHUNK].astype(np.int16))
            keys.append(native.layer_keys(flat.layer_starts, flat.prefix_hashes))
            starts.append(flat.layer_starts[1:] + starts[-1][-1])
        return KeyedModels(np.concatenate(starts), np.concatenate(keys))


class SequentialSource:
    """Choices in sequence; what two sequences have in common is counted in choices."""

    unit = "choices"
    always = 0

    def __init__(self, options: Sequence[int]) -> None:
        """Takes the number of options of each choice.

        Raises:
            InvalidValueError: no choice, or one without options.
        """
        if not options or min(options) < 1:
            raise InvalidValueError(f"options {list(options)!r} must be positive, and at least one")
        self.options = tuple(options)

    def random(self, num: int, rng: np.random.Generator) -> Sequences:
        """See ``ArchitectureSource``."""
        return rng.integers(self.options, size=(num, len(self.options)), dtype=np.int64)

    def keys(self, arch_seqs: Sequences) -> KeyedModels:
        """See ``ArchitectureSource``; the key of a choice is the hash of all up to it."""
        num, length = arch_seqs.shape
        keys = np.empty((num, length), np.uint64)
        state = np.zeros(num, np.uint64)
        for place in range(length):
            state = _mix(state + arch_seqs[:, place].astype(np.uint64) + np.uint64(1))
            keys[:, place] = state
        return KeyedModels(np.arange(num + 1, dtype=np.int64) * length, keys.ravel())


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Returns well-mixed words, one to one (SplitMix64: G. Steele et al., OOPSLA 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
