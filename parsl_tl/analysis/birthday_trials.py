"""Trials of the birthday problem: populations are drawn, and new architectures meet them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.analysis.architecture_source import ArchitectureSource, KeyedModels, SpaceSource
from parsl_tl.analysis.confidence import Interval, mean_interval
from parsl_tl.population.aging_evolution import evolve, mutate_rows, sequence_dtype
from parsl_tl.store.prefix_index import PrefixIndex

# Streams of random numbers of different use never meet.
_RANDOM, _EVOLVED = 11, 12
Done = Callable[[int], None]


class Lengths(NamedTuple):
    """Longest prefixes that were measured with one number of stored architectures.

    Attributes:
        population: ``random`` or ``evolved``.
        candidates: ``random`` or ``mutated``: children of members.
        num_stored: n.
        trials: one int64 array per trial, one entry per candidate.
        total: mean number of layers (or choices) of a candidate.
        same_population: whether all trials met the same population, so that intervals tell nothing
            of what other populations would give.
    """

    population: str
    candidates: str
    num_stored: int
    trials: list[NDArray[np.int64]]
    total: float
    same_population: bool = False

    def mean(self, confidence: float) -> Interval:
        """Returns the mean longest prefix; see ``mean_interval``."""
        return mean_interval(self._independent(), confidence, (0.0, np.inf))

    def tail(self, length: int, confidence: float) -> Interval:
        """Returns the probability of a prefix of at least this length; see ``mean_interval``."""
        reached = [trial >= length for trial in self._independent()]
        return mean_interval(reached, confidence, (0.0, 1.0))

    def _independent(self) -> list[NDArray[np.int64]]:
        """Returns what does not depend on each other; candidates do not, given one population."""
        if not self.same_population:
            return self.trials
        return list(np.concatenate(self.trials)[:, None])


class GrowingIndex:
    """Models in the order in which they were stored, of which the first n can be asked."""

    def __init__(self, models: KeyedModels) -> None:
        self._models = models
        self._index = PrefixIndex()

    def grow_to(self, num: int) -> None:
        """Adds what is missing to the first ``num``; it never shrinks."""
        first = len(self._index)
        more = self._models.part(first, max(first, num))
        ids = np.arange(first, first + len(more.starts) - 1, dtype=np.uint64)
        self._index.add(ids, more.starts, more.keys)

    def longest(self, candidates: KeyedModels) -> NDArray[np.int64]:
        """Returns each candidate's longest prefix with any of them, int64."""
        return self._index.best(candidates.starts, candidates.keys).lengths


def random_trials(
    source: ArchitectureSource,
    sizes: Sequence[int],
    num_trials: int,
    num_candidates: int,
    seed: int,
    done: Done,
) -> list[Lengths]:
    """Measures random candidates against random populations.

    Args:
        source: what architectures are drawn from.
        sizes: numbers of stored architectures, rising. Within a trial the smaller population is
            the beginning of the larger one.
        num_trials: populations, each with candidates of its own.
        num_candidates: per trial.
        seed: same seed, same result.
        done: called after each trial with the number of trials so far.
    """
    measured: list[list[NDArray[np.int64]]] = [[] for _ in sizes]
    totals = []
    for trial in range(num_trials):
        rng = np.random.default_rng([seed, _RANDOM, trial])
        index = GrowingIndex(source.keys(source.random(sizes[-1], rng)))
        candidates = source.keys(source.random(num_candidates, rng))
        totals.append(candidates.sizes().mean())
        for place, size in enumerate(sizes):
            index.grow_to(size)
            measured[place].append(index.longest(candidates))
        done(trial + 1)
    total = float(np.mean(totals))
    return [
        Lengths("random", "random", size, trials, total)
        for size, trials in zip(sizes, measured, strict=True)
    ]


def evolved_trials(
    source: SpaceSource,
    sizes: Sequence[int],
    num_trials: int,
    num_candidates: int,
    seed: int,
    window: int,
    sample_size: int,
    done: Done,
) -> list[Lengths]:
    """Measures candidates against populations that aging evolution left behind.

    All models that were ever evaluated count as stored. Evolution is that of
    ``parsl_tl.population.aging_evolution.evolve``: it follows a made-up fitness.

    Args:
        source: a search space.
        sizes: see ``random_trials``; here the history of one evolution is cut after n models.
        num_trials: evolutions, each with candidates of its own.
        num_candidates: of each kind, per trial and size.
        seed: same seed, same result.
        window: members alive; as many are random at first.
        sample_size: members of a tournament.
        done: called after each trial with the number of trials so far.
    """
    measured: dict[tuple[str, int], list[NDArray[np.int64]]] = {}
    totals: dict[tuple[str, int], list[float]] = {}
    for trial in range(num_trials):
        rng = np.random.default_rng([seed, _EVOLVED, trial])
        arch_seqs, _, _ = evolve(
            source.space, sizes[-1], int(rng.integers(2**32)), window, sample_size, lambda _: None
        )
        index = GrowingIndex(source.keys(arch_seqs))
        for size in sizes:
            index.grow_to(size)
            for kind in ("random", "mutated"):
                candidates = source.keys(
                    source.random(num_candidates, rng)
                    if kind == "random"
                    else children(source, arch_seqs[:size], window, num_candidates, rng)
                )
                measured.setdefault((kind, size), []).append(index.longest(candidates))
                totals.setdefault((kind, size), []).append(float(candidates.sizes().mean()))
        done(trial + 1)
    return [
        Lengths("evolved", kind, size, trials, float(np.mean(totals[kind, size])))
        for (kind, size), trials in sorted(measured.items())
    ]


def children(
    source: SpaceSource,
    arch_seqs: NDArray[np.integer],
    window: int,
    num: int,
    rng: np.random.Generator,
) -> NDArray[np.integer]:
    """Returns children of random members among the latest ``window``, each with one change."""
    parents = rng.integers(max(0, len(arch_seqs) - window), len(arch_seqs), size=num)
    rows = arch_seqs[parents].astype(sequence_dtype(source.space))
    return mutate_rows(rows, source.space, rng)
