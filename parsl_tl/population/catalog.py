"""Large catalogs of models that evolved by mutation, as a long search leaves them in a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError
from parsl_tl.native import native
from parsl_tl.population.aging_evolution import (
    Sequences,
    SyntheticFitness,
    evolve,
    mutate_rows,
    random_sequences,
)
from parsl_tl.population.dense_assembly import CLASS_NAMES, DenseAssembler
from parsl_tl.population.flat_graphs import starts_of
from parsl_tl.spaces import DenseSkipSpace

_CHUNK = 4096
_FLOAT_BYTES = 4
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Catalog:
    """Models of the dense-skip space in flat arrays; starts are those of CSR.

    Layers stand in the order of ``DenseSkipSpace(num_layers).build(seq, (10,), (1,))``.

    Attributes:
        arch_seqs: [n, choices].
        parents: int64 [n], index of the parent, -1 for none.
        qualities: float64 [n].
        layer_starts: int64 [n + 1].
        prefix_hashes: uint64, one per layer; twins have equal ones.
        class_ids: uint8, one per layer, indices into ``class_names``.
        class_names: Keras classes.
        edge_starts: int64 [n + 1].
        edges: uint32 [m, 2], (source, target), layer numbers within the model.
        layer_digests: uint64, one per layer, of the layer by itself.
        layer_bytes: uint64, one per layer, size of its float32 weights; 0 where it has none.
        num_layers: variable layers of the space.
        seed: of the fitness behind the qualities.
    """

    arch_seqs: Sequences
    parents: NDArray[np.int64]
    qualities: NDArray[np.float64]
    layer_starts: NDArray[np.int64]
    prefix_hashes: NDArray[np.uint64]
    class_ids: NDArray[np.uint8]
    edge_starts: NDArray[np.int64]
    edges: NDArray[np.uint32]
    layer_digests: NDArray[np.uint64]
    layer_bytes: NDArray[np.uint64]
    num_layers: int
    seed: int
    class_names: list[str] = field(default_factory=lambda: list(CLASS_NAMES))

    def __len__(self) -> int:
        return len(self.arch_seqs)

    def layers_of(self, index: int) -> slice:
        """Returns where the layers of a model stand in the arrays with one entry per layer."""
        return slice(int(self.layer_starts[index]), int(self.layer_starts[index + 1]))

    def edges_of(self, index: int) -> slice:
        """Returns where the edges of a model stand in ``edges``."""
        return slice(int(self.edge_starts[index]), int(self.edge_starts[index + 1]))

    def head(self, num_models: int) -> Catalog:
        """Returns the first models, as views of the same memory.

        Raises:
            InvalidValueError: there are not so many.
        """
        if not 0 <= num_models <= len(self):
            raise InvalidValueError(f"the catalog has {len(self)} models, not {num_models}")
        return self.part(0, num_models)

    def part(self, first: int, end: int) -> Catalog:
        """Returns models ``first`` to before ``end`` as views; ``parents`` stay as they are."""
        layers = slice(self.layer_starts[first], self.layer_starts[end])
        edges = slice(self.edge_starts[first], self.edge_starts[end])
        return replace(
            self,
            **{
                name: getattr(self, name)[first:end]
                for name in ("arch_seqs", "parents", "qualities")
            },
            **{
                name: getattr(self, name)[layers]
                for name in ("prefix_hashes", "class_ids", "layer_digests", "layer_bytes")
            },
            edges=self.edges[edges],
            layer_starts=self.layer_starts[first : end + 1] - layers.start,
            edge_starts=self.edge_starts[first : end + 1] - edges.start,
        )

    @property
    def ids(self) -> NDArray[np.uint64]:
        """The ids under which benchmarks store the models; none is 0."""
        return np.arange(1, len(self) + 1, dtype=np.uint64)

    @property
    def graphs(self) -> tuple[NDArray[Any], ...]:
        """The graphs as a walk takes them: layers and edges with their starts."""
        return self.layer_starts, self.layer_digests, self.edge_starts, self.edges

    def layer_keys(self) -> NDArray[np.uint64]:
        """Computes one key per layer that is unique in its model, as the store indexes it.

        Returns:
            uint64, in the order of ``prefix_hashes``.
        """
        keys: NDArray[np.uint64] = native.layer_keys(self.layer_starts, self.prefix_hashes)
        return keys


def evolve_catalog(
    num_models: int,
    *,
    seed: int = 0,
    window: int = 1000,
    sample_size: int = 5,
    num_layers: int = 10,
    progress: Progress | None = None,
) -> Catalog:
    """Evolves a catalog by aging evolution on a synthetic fitness.

    The first ``window`` models are random. Every later one is a child, with one choice changed, of
    the best among ``sample_size`` members (drawn with replacement) of the latest ``window``.

    Args:
        num_models: how many models.
        seed: same seed, same catalog.
        window: size of the population.
        sample_size: members that compete for becoming the parent.
        num_layers: variable layers of the dense-skip space.
        progress: called now and then with the finished share, from 0 to 1.

    Raises:
        InvalidValueError: a number that is not positive, or a negative seed.
    """
    for name, value in (
        ("num_models", num_models),
        ("window", window),
        ("sample_size", sample_size),
    ):
        if value < 1:
            raise InvalidValueError(f"{name}={value!r} must be at least 1")
    if seed < 0:
        raise InvalidValueError(f"seed={seed!r} must not be negative")

    def share(before: float) -> Callable[[int], None]:
        return lambda done: progress(before + done / num_models / 2) if progress else None

    space = DenseSkipSpace(num_layers)
    evolved = evolve(space, num_models, seed, window, sample_size, share(0.0))
    return _assemble(space, *evolved, seed, share(0.5))


def random_queries(num: int, seed: int, num_layers: int = 10) -> Catalog:
    """Returns models drawn uniformly from the space; none has a parent.

    Args:
        num: how many.
        seed: of the draw and of the fitness.
        num_layers: variable layers of the dense-skip space.
    """
    space = DenseSkipSpace(num_layers)
    arch_seqs = random_sequences(space, num, np.random.default_rng([seed, 2]))
    qualities = SyntheticFitness(space, seed).qualities(arch_seqs)
    return _assemble(space, arch_seqs, np.full(num, -1, np.int64), qualities, seed)


def mutated_queries(catalog: Catalog, num: int, seed: int, window: int = 1000) -> Catalog:
    """Returns children of random members among the latest models of a catalog.

    Args:
        catalog: where the parents are; ``parents`` of the result are indices into it.
        num: how many.
        seed: of the draw; qualities are by the catalog's own fitness.
        window: how many of the latest models may be parents.
    """
    space = DenseSkipSpace(catalog.num_layers)
    rng = np.random.default_rng([seed, 3])
    parents = rng.integers(max(0, len(catalog) - window), len(catalog), size=num)
    arch_seqs = mutate_rows(catalog.arch_seqs[parents], space, rng)
    qualities = SyntheticFitness(space, catalog.seed).qualities(arch_seqs)
    return _assemble(space, arch_seqs, parents, qualities, catalog.seed)


def _assemble(
    space: DenseSkipSpace,
    arch_seqs: Sequences,
    parents: NDArray[np.int64],
    qualities: NDArray[np.float64],
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Catalog:
    assembler = DenseAssembler(space, (10,), (1,))
    num_layers, num_edges = assembler.count(arch_seqs)
    layer_starts, edge_starts = starts_of(num_layers), starts_of(num_edges)
    # Filled in place, since pieces that are joined at the end need the memory twice.
    catalog = Catalog(
        arch_seqs,
        parents,
        qualities,
        layer_starts,
        prefix_hashes=np.empty(layer_starts[-1], np.uint64),
        class_ids=np.empty(layer_starts[-1], np.uint8),
        edge_starts=edge_starts,
        edges=np.empty((edge_starts[-1], 2), np.uint32),
        layer_digests=np.empty(layer_starts[-1], np.uint64),
        layer_bytes=np.empty(layer_starts[-1], np.uint64),
        num_layers=space.num_layers,
        seed=seed,
    )
    for start in range(0, len(arch_seqs), _CHUNK):
        end = min(start + _CHUNK, len(arch_seqs))
        piece = assembler.assemble(arch_seqs[start:end])
        layers = slice(layer_starts[start], layer_starts[end])
        catalog.prefix_hashes[layers] = piece.prefix_hashes
        catalog.layer_digests[layers] = piece.layer_digests
        catalog.class_ids[layers] = piece.class_ids
        catalog.layer_bytes[layers] = piece.layer_parameters * _FLOAT_BYTES
        catalog.edges[edge_starts[start] : edge_starts[end]] = piece.edges
        progress(end)
    return catalog
