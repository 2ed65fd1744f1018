"""Which architectures a search evaluates: those that can exist and keep the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.architecture.parameter_count import count_parameters
from parsl_tl.errors import ImpossibleArchitectureError, InvalidValueError, ParslTLError
from parsl_tl.problems import Problem
from parsl_tl.reporting.sizes import counted
from parsl_tl.spaces import SearchSpace
from parsl_tl.suggestions import check_names
from parsl_tl.training.prediction_time import measure_milliseconds

MEASURES: Final = ("parameters", "bytes", "layers")
"""Sizes that can be limited and minimized: they are known before an architecture is trained."""
MILLISECONDS: Final = "milliseconds"
"""Time of a prediction of one batch: as a limit, measured where the search is driven; as what is
minimized, by the worker that trains the model."""

_BYTES_PER_PARAMETER: Final = 4
# Neighbours are met again and again, and a graph takes a millisecond, a Keras model fifty.
_REMEMBERED: Final = 50_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What a search knows of an architecture before it is trained."""

    identity: Hashable
    refusal: str | None
    measures: tuple[int, int, int]


class Admission:
    """Tells which architectures are equal, how large they are, and which are not to be trained.

    Args:
        space: what is searched.
        problem: what for.
        limits: most that an architecture may have, by names of ``MEASURES``, or ``milliseconds``.

    Attributes:
        refused: how many architectures were refused, by reason.

    Raises:
        InvalidValueError: a limit that there is not, or that nothing can keep.
    """

    def __init__(
        self, space: SearchSpace, problem: Problem, limits: Mapping[str, float] | None = None
    ) -> None:
        self._space = space
        self._problem = problem
        self._limits = check_limits(limits or {})
        self._known = lru_cache(_REMEMBERED)(self._look)
        self.refused: Counter[str] = Counter()

    def identity(self, arch_seq: Sequence[int]) -> Hashable:
        """Returns equal things for sequences that mean one architecture, trained alike.

        Where a space builds Keras models, which takes long, sequences are compared that differ in
        nothing that their architecture has.
        """
        canonical = tuple(self._space.canonical(arch_seq))
        if self._space.builds_keras_models:
            return canonical
        return self._known(canonical).identity

    def refuse(self, arch_seq: Sequence[int]) -> bool:
        """Whether an architecture is not to be trained; counts the reason if so."""
        refusal = self._known(tuple(self._space.canonical(arch_seq))).refusal
        if refusal is not None:
            self.refused[refusal] += 1
        return refusal is not None

    def measure(self, arch_seq: Sequence[int], names: Sequence[str]) -> tuple[int, ...]:
        """Returns the sizes of an architecture, by names of ``MEASURES``."""
        found = self._known(tuple(self._space.canonical(arch_seq))).measures
        return tuple(found[MEASURES.index(name)] for name in names)

    def summary(self) -> str:
        """Says how many architectures were refused, and why; nothing if none was."""
        if not self.refused:
            return ""
        reasons = "; ".join(f"{count}: {reason}" for reason, count in self.refused.most_common(5))
        count = counted(self.refused.total(), "architecture")
        return f"drawn again instead of trained: {count} ({reasons})"

    def _look(self, arch_seq: tuple[int, ...]) -> _Known:
        problem = self._problem
        try:
            graph = self._space.build(arch_seq, problem.input_shape, problem.output_heads())
        except ImpossibleArchitectureError as error:
            return _Known(arch_seq, error.reason, (0, 0, 0))
        except ParslTLError:  # its evaluation will tell
            return _Known(arch_seq, None, (0, 0, 0))
        finally:
            _forget_keras_models(self._space)
        measures = _measure(graph)
        return _Known(
            (np.sort(graph.prefix_hashes).tobytes(), _hashable(self._space.training(arch_seq))),
            self._over_limit(measures) or self._too_slow(graph),
            measures,
        )

    def _too_slow(self, graph: ArchitectureGraph) -> str | None:
        limit = self._limits.get(MILLISECONDS)
        if (
            limit is None
            or measure_milliseconds(graph.to_keras(), self._problem.batch_size) <= limit
        ):
            return None
        return f"over the limit of {limit:,} milliseconds a batch"

    def _over_limit(self, measures: tuple[int, int, int]) -> str | None:
        for name, value in zip(MEASURES, measures, strict=True):
            if value > self._limits.get(name, np.inf):
                return f"over the limit of {self._limits[name]:,} {name}"
        return None


def check_limits(limits: Mapping[str, Any]) -> dict[str, float]:
    """Returns limits as they are.

    Raises:
        InvalidValueError: a limit that there is not, or that nothing can keep.
    """
    check_names(limits, (*MEASURES, MILLISECONDS), "limits")
    for name, value in limits.items():
        least = 0 if name == MILLISECONDS else 1
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not value >= least or value == 0:
            raise InvalidValueError(
                f"limit {name}={value!r} must be a number {'of at least 1' if least else 'above 0'}"
            )
    return dict(limits)


def check_measures(names: Sequence[str]) -> list[str]:
    """Returns what is minimized beside the objective.

    Args:
        names: of ``MEASURES``, ``milliseconds`` (of a prediction, measured by the worker), or
            entries of the training history for validation rows; those with a leading ``-`` are
            maximized.

    Raises:
        InvalidValueError: it is none of these, or said twice.
    """
    others = [name for name in names if not name.removeprefix("-").startswith("val_")]
    check_names(dict.fromkeys(others), (*MEASURES, MILLISECONDS, "val_..."), "minimize")
    if len(set(names)) < len(names):
        raise InvalidValueError(f"minimize={list(names)!r} names a measure twice")
    return list(names)


def _measure(graph: ArchitectureGraph) -> tuple[int, int, int]:
    parameters = count_parameters(graph)
    return parameters, parameters * _BYTES_PER_PARAMETER, len(graph)


def _hashable(training: Mapping[str, Any]) -> Hashable:
    return tuple(sorted((name, repr(value)) for name, value in training.items()))


def _forget_keras_models(space: SearchSpace) -> None:
    """Frees what Keras keeps of models that were built only to be looked at."""
    if space.builds_keras_models:
        import keras

        keras.utils.clear_session(free_memory=False)
