"""The birthday problem measured on a population that exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from parsl_tl.analysis.architecture_source import SpaceSource
from parsl_tl.analysis.birthday_trials import GrowingIndex, Lengths, children
from parsl_tl.analysis.population_source import Population

_MEASURED = 13
# Fewer runs of members tell too little of how much populations differ.
_LEAST_RUNS = 4
Done = Callable[[int], None]


def measured_lengths(
    population: Population,
    sizes: Sequence[int],
    num_trials: int,
    num_candidates: int,
    seed: int,
    window: int,
    done: Done,
) -> list[Lengths]:
    """Measures new candidates against the members of a population.

    Members that were drawn at random are independent: disjoint runs of n members, up to
    ``num_trials``, are independent populations of that size. Where there are too few runs, and for
    members that evolution left behind, the candidates meet the first n members, and intervals tell
    what other candidates would meet in this same population.

    Args:
        population: at least as many members as the largest size.
        sizes: numbers of stored architectures, rising.
        num_trials: runs of members, at most.
        num_candidates: per trial.
        seed: same seed, same result.
        window: children are those of this many latest members.
        done: called after each size with the number of sizes so far.
    """
    source = population.source()
    found = []
    for place, size in enumerate(sizes):
        rng = np.random.default_rng([seed, _MEASURED, size])
        num_runs = min(len(population) // size, num_trials)
        if population.is_random and num_runs >= _LEAST_RUNS:
            trials, total = _runs(population, source, size, num_runs, num_candidates, rng)
            found.append(Lengths("random", "random", size, trials, total))
        else:
            kinds = ("random",) if population.is_random else ("random", "mutated")
            index = GrowingIndex(population.models)
            index.grow_to(size)
            for kind in kinds:
                count = num_candidates * num_trials
                keys = source.keys(
                    source.random(count, rng)
                    if kind == "random"
                    else children(source, population.arch_seqs[:size], window, count, rng)
                )
                lengths = [index.longest(keys)]
                label = "random" if population.is_random else "evolved"
                found.append(Lengths(label, kind, size, lengths, float(keys.sizes().mean()), True))
        done(place + 1)
    return found


def _runs(
    population: Population,
    source: SpaceSource,
    size: int,
    num_runs: int,
    num_candidates: int,
    rng: np.random.Generator,
) -> tuple[list[NDArray[np.int64]], float]:
    trials, totals = [], []
    for run in range(num_runs):
        index = GrowingIndex(population.models.part(run * size, (run + 1) * size))
        index.grow_to(size)
        candidates = source.keys(source.random(num_candidates, rng))
        trials.append(index.longest(candidates))
        totals.append(candidates.sizes().mean())
    return trials, float(np.mean(totals))
