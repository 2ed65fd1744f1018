"""What a problem is: data, the shape of a model of it, a training recipe, and an objective."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Data, as_tuple
from parsl_tl.problems.targets import check_targets

Shape: TypeAlias = tuple[int, ...]

_METRICS: Mapping[str, str] = {"r2": "R2Score"}
"""Metrics whose short name here is not one that Keras knows by itself."""


class Problem(ABC):
    """One learning task that architectures are searched for.

    A subclass sets the attributes and loads data in ``_load``. Whoever calls ``load`` gets the
    same ``Data`` every time: it is read once per instance, and ``get_problem`` gives out one
    instance per process for the same name and arguments.

    Attributes:
        name: what users call it.
        input_shape: shape of one sample without the batch axis; a list of such for several inputs.
        output_shape: shape of one prediction.
        output_activation: activation of the output layer, as Keras names it.
        loss: a Keras loss name.
        metrics: names of metrics: any that Keras knows, or ``"r2"``.
        objective: entry of the training history that a search maximizes, such as
            ``"val_accuracy"``; with a leading ``-`` the entry is minimized (``"-val_loss"``).
        epochs: passes over the training data at most.
        batch_size: samples per step.
        learning_rate: of the optimizer.
        optimizer: a Keras optimizer name.
    """

    name: ClassVar[str]

    input_shape: Shape | list[Shape]
    output_shape: Shape
    output_activation: str = "linear"
    loss: str = "mse"
    metrics: Sequence[str] = ()
    objective: str = "-val_loss"
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    optimizer: str = "adam"

    def __init__(self) -> None:
        self._data: Data | None = None
        self._lock = threading.Lock()

    def load(self) -> Data:
        """Returns the data, read on the first call and kept.

        Raises:
            ProblemError: it cannot be read, or does not have the shapes that the problem states.
        """
        with self._lock:
            if self._data is None:
                try:
                    data = self._load()
                except (ProblemError, MemoryError):
                    raise
                except Exception as error:  # whatever a user's problem may raise
                    raise ProblemError(
                        f"the data of problem {self.name!r} cannot be loaded: "
                        f"{type(error).__name__}: {error}"
                    ) from error
                if not isinstance(data, Data):
                    raise ProblemError(
                        f"problem {self.name!r} loads a {type(data).__name__}; "
                        "_load must return parsl_tl.problems.Data"
                    )
                self._check(data)
                check_targets(self.name, self.loss, tuple(self.output_shape), data)
                self._data = data
            return self._data

    def check_declaration(self, name: str) -> None:
        """Refuses a problem that lacks what every problem has to say.

        Args:
            name: what it was asked for as.

        Raises:
            ProblemError: an attribute is missing, or no shape.
        """
        if not hasattr(self, "_lock"):
            raise ProblemError(f"the __init__ of problem {name!r} must call super().__init__()")
        for attribute in ("name", "input_shape", "output_shape"):
            if not hasattr(self, attribute):
                raise ProblemError(
                    f"problem {name!r} has no {attribute}; its class, or its __init__, must set it"
                )
        shapes = self.input_shape if isinstance(self.input_shape, list) else [self.input_shape]
        for attribute, shape in (
            *(("input_shape", shape) for shape in shapes or [()]),
            ("output_shape", self.output_shape),
        ):
            if not _is_shape(shape):
                raise ProblemError(
                    f"{attribute} of problem {name!r} is {getattr(self, attribute)!r}; it must be "
                    "a tuple of sizes without the batch axis, such as (64,)"
                )

    @abstractmethod
    def _load(self) -> Data:
        """Reads or makes the data; called once."""

    def build_metrics(self) -> list[Any]:
        """Makes what ``keras.Model.compile`` takes as ``metrics``."""
        import keras

        return [
            getattr(keras.metrics, _METRICS[name])(name=name) if name in _METRICS else name
            for name in self.metrics
        ]

    def score(self, logs: Mapping[str, float]) -> float:
        """Reads the objective from one epoch's history; larger is better.

        Raises:
            ProblemError: the history has no such entry.
        """
        key = self.objective.removeprefix("-")
        if key not in logs:
            raise ProblemError(
                f"the objective of problem {self.name!r} is {key!r}, but training reports "
                f"{sorted(logs)}; choose one of these, or add the metric"
            )
        value = float(logs[key])
        return -value if self.objective.startswith("-") else value

    def _check(self, data: Data) -> None:
        shapes = self.input_shape if isinstance(self.input_shape, list) else [self.input_shape]
        for part, x in (("train", data.x_train), ("valid", data.x_valid)):
            found = [array.shape[1:] for array in as_tuple(x)]
            if found != [tuple(shape) for shape in shapes]:
                raise ProblemError(
                    f"samples of problem {self.name!r} ({part}) have the shapes {found}, "
                    f"its input_shape says {shapes}"
                )

    def __repr__(self) -> str:
        return f"<Problem {self.name}: {self.input_shape} -> {self.output_shape}>"


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, tuple)
        and len(shape) > 0
        and all(isinstance(size, int | np.integer) and size > 0 for size in shape)
    )


def check_fraction(name: str, value: float) -> float:
    """Returns a share of the data that leaves something on both sides.

    Raises:
        ProblemError: it is not strictly between 0 and 1.
    """
    if not (isinstance(value, (int, float)) and math.isfinite(value) and 0 < value < 1):
        raise ProblemError(f"{name} is {value!r}; it must be between 0 and 1, both excluded")
    return float(value)


def check_count(name: str, value: int, least: int) -> int:
    """Returns a whole number that is large enough.

    Raises:
        ProblemError: it is no integer, or smaller than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ProblemError(f"{name} is {value!r}; it must be an integer of at least {least}")
    return int(value)
