"""What a problem is: data, the shape of a model of it, a training recipe, and an objective."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import PARTS, Data, is_stream, leaves
from parsl_tl.problems.fingerprint import fingerprint
from parsl_tl.problems.metrics import build_metric
from parsl_tl.problems.node_cache import NodeCache
from parsl_tl.problems.shared_data import SharedData
from parsl_tl.problems.targets import check_targets
from parsl_tl.spaces.head import Head

if TYPE_CHECKING:
    import pyarrow as pa

    from parsl_tl.spaces import SearchSpace

Shape: TypeAlias = tuple[int, ...]
InputShape: TypeAlias = Shape | list[Shape] | dict[str, Shape]


class Problem(ABC):
    """One learning task that architectures are searched for.

    A subclass sets the attributes and loads data in ``_load``. Whoever calls ``load`` gets the
    same ``Data`` every time: it is read once per instance, and ``get_problem`` gives out one
    instance per process for the same name and arguments.

    Networks of it have one output, which ``output_shape`` and its like describe, or several, which
    ``heads`` lists.

    Attributes:
        name: what users call it.
        input_shape: shape of one sample without the batch axis; for several inputs a list of
            shapes, or a dict of them by name.
        output_shape: shape of one prediction.
        output_activation: activation of the output layer, as Keras names it.
        loss: a Keras loss, or its name.
        metrics: any that Keras knows by name, ``"r2"``, ``"auroc"`` or ``"auc_pr"``; or metrics.
        heads: the outputs, in place of these four; the history calls the metrics of several
            ``"<head>_<metric>"``.
        objective: entry of the training history that a search maximizes, such as
            ``"val_accuracy"``; with a leading ``-`` the entry is minimized (``"-val_loss"``).
        epochs: passes over the training data at most.
        batch_size: samples per step.
        learning_rate: of the optimizer.
        optimizer: a Keras optimizer name.
        optimizer_args: further arguments of the optimizer, such as ``{"momentum": 0.9}``.
        clip_norm: norm that the gradient of each weight is clipped to; None clips nothing.
        schedule: how the learning rate changes: see ``parsl_tl.training.schedules``.
        early_stopping_patience: epochs without a better objective after which training stops.
        dtype_policy: a Keras dtype policy, such as ``"mixed_bfloat16"``, for all layers but the
            last ones; None computes in float32.
        data_version: another text for other data under the same name and arguments: models of one
            are no donors for the other.
        paths: names of arguments of ``__init__`` that are paths. Workers have another working
            folder, so that a search makes them absolute.
        imports: modules that loading the data takes. The workers of a node import them together,
            before their first evaluation; importing them must start no threads.
    """

    name: ClassVar[str]

    input_shape: InputShape
    output_shape: Shape
    output_activation: str = "linear"
    loss: Any = "mse"
    metrics: Sequence[Any] = ()
    heads: Sequence[Head] = ()
    objective: str = "-val_loss"
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    optimizer_args: Mapping[str, Any] = {}
    clip_norm: float | None = None
    schedule: str | Mapping[str, Any] | None = None
    early_stopping_patience: int | None = None
    dtype_policy: str | None = None
    data_version: str = ""
    paths: ClassVar[tuple[str, ...]] = ()
    imports: ClassVar[tuple[str, ...]] = ()

    arguments: Mapping[str, Any] = {}
    """What ``get_problem`` was asked to make it with."""

    def __init__(self) -> None:
        self._data: Data | None = None
        self._fingerprint: int | None = None
        self._shared: SharedData | None = None
        self._lock = threading.Lock()

    def load(self) -> Data:
        """Returns the data, read on the first call and kept.

        Raises:
            ProblemError: it cannot be read, or does not have the shapes that the problem states.
        """
        with self._lock:
            if self._data is None:
                try:
                    data = self._load() if self._shared is None else self._shared.load(self._load)
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
                check_targets(self.name, self.output_heads(), data)
                self._data = data
            return self._data

    def share_on_node(self, cache: NodeCache, least_bytes: int) -> None:
        """Has the processes of a node share the data, from its first ``load`` on, if it is large.

        Args:
            cache: of the node.
            least_bytes: less is loaded by each process for itself.
        """
        with self._lock:
            if self._data is None and self._shared is None:
                kind = f"{type(self).__module__}.{type(self).__qualname__}"
                said = [kind, self.name, self.data_version, dict(self.arguments)]
                self._shared = SharedData(cache, least_bytes, said)

    def check_declaration(self, name: str) -> None:
        """Refuses a problem that lacks what every problem has to say.

        Args:
            name: what it was asked for as.

        Raises:
            ProblemError: an attribute is missing, or no shape.
        """
        if not hasattr(self, "_lock"):
            raise ProblemError(f"the __init__ of problem {name!r} must call super().__init__()")
        needed = ("name", "input_shape") if self.heads else ("name", "input_shape", "output_shape")
        for attribute in needed:
            if not hasattr(self, attribute):
                raise ProblemError(
                    f"problem {name!r} has no {attribute}; its class, or its __init__, must set it"
                )
        for shape in self.input_shapes() or [()]:
            _check_shape("input_shape", shape, self.input_shape, name)
        for head in self.output_heads():
            what = "output_shape" if not self.heads else f"the shape of head {head.name!r}"
            _check_shape(what, head.shape, head.shape, name)
        names = [head.name for head in self.output_heads()]
        if len(set(names)) != len(names):
            raise ProblemError(f"the heads of problem {name!r} are called {names}; name each once")

    def input_shapes(self) -> list[Shape]:
        """Returns the shape of each input, in order."""
        shape = self.input_shape
        if isinstance(shape, dict):
            return list(shape.values())
        return list(shape) if isinstance(shape, list) else [shape]

    def output_heads(self) -> list[Head]:
        """Returns ``heads``, or the one output that ``output_shape`` and its like describe."""
        if self.heads:
            return list(self.heads)
        return [
            Head(
                shape=self.output_shape,
                activation=self.output_activation,
                loss=self.loss,
                metrics=tuple(self.metrics),
            )
        ]

    def fingerprint(self) -> int:
        """Returns what tells its data from others', an unsigned 64-bit integer other than 0.

        It follows from the problem's name, ``data_version`` and the rows of the training and the
        validation part: another split of the same data has another one, since a model of one has
        seen rows that the other validates on. The data is loaded for it.

        Raises:
            ProblemError: the data cannot be loaded.
        """
        data = self.load()
        with self._lock:
            if self._fingerprint is None:
                said: dict[str, Any] = {"name": self.name, "data_version": self.data_version}
                if is_stream(data.x_train):  # whose rows nobody has seen
                    said["arguments"] = dict(self.arguments)
                self._fingerprint = fingerprint(said, data)
            return self._fingerprint

    @abstractmethod
    def _load(self) -> Data:
        """Reads or makes the data; called once."""

    def augmentation(self) -> Sequence[Any] | Mapping[str, Sequence[Any]]:
        """Returns Keras layers that change the inputs of training batches, such as random flips.

        Validation and test samples stay as they are. For several inputs, a dict of lists by name
        (by ``"0"``, ``"1"``, ... where inputs have no names).
        """
        return ()

    def callbacks(self) -> Sequence[Any]:
        """Returns Keras callbacks of one's own for one training."""
        return ()

    def data_table(self) -> pa.Table | None:
        """Returns what the data is, for people, as a search shows it first; None shows nothing."""
        return None

    def preprocessing(self) -> Any:
        """Returns what encodes new samples as the model's own were; None where nothing is done.

        It has ``save(path)``, with which a search keeps it beside its results.
        """
        return None

    def look_up(self, space: SearchSpace, arch_seq: Sequence[int]) -> Mapping[str, Any] | None:
        """Returns a result that is known without training; None trains.

        Args:
            space: the search space.
            arch_seq: the architecture.

        Returns:
            ``"objective"``, ``"seconds"`` that the training took where the table was made, and
            whatever else is to be kept with the result.
        """
        return None

    def build_metrics(self) -> list[Any]:
        """Makes what ``keras.Model.compile`` takes as ``metrics``: a list for each of the heads."""
        made = [
            [build_metric(metric, head.shape[-1]) for metric in head.metrics]
            for head in self.output_heads()
        ]
        return made[0] if len(made) == 1 else made

    def score(self, logs: Mapping[str, float]) -> float:
        """Reads the objective from one epoch's history; larger is better.

        Raises:
            ProblemError: the history has no such entry.
        """
        return read_objective(self.objective, logs, self.name)

    def _check(self, data: Data) -> None:
        expected = [tuple(shape) for shape in self.input_shapes()]
        for part in PARTS:
            x = getattr(data, f"x_{part}")
            if x is None or is_stream(x):
                continue
            if isinstance(x, dict) and isinstance(self.input_shape, dict):
                if x.keys() != self.input_shape.keys():
                    raise ProblemError(
                        f"the inputs of problem {self.name!r} ({part}) are called {sorted(x)}, "
                        f"its input_shape says {sorted(self.input_shape)}"
                    )
                x = {name: x[name] for name in self.input_shape}
            found = [array.shape[1:] for array in leaves(x)]
            if found != expected:
                raise ProblemError(
                    f"samples of problem {self.name!r} ({part}) have the shapes {found}, "
                    f"its input_shape says {expected}"
                )

    def __repr__(self) -> str:
        shapes = [head.shape for head in self.output_heads()]
        return f"<Problem {self.name}: {self.input_shape} -> {shapes if self.heads else shapes[0]}>"


def _check_shape(what: str, shape: Any, said: Any, problem: str) -> None:
    is_shape = (
        isinstance(shape, tuple)
        and len(shape) > 0
        and all(isinstance(size, int | np.integer) and size > 0 for size in shape)
    )
    if not is_shape:
        raise ProblemError(
            f"{what} of problem {problem!r} is {said!r}; it must be a tuple of sizes without the "
            "batch axis, such as (64,)"
        )


def read_objective(objective: str, logs: Mapping[str, float], problem: str) -> float:
    """Reads an objective from one epoch's history; larger is better.

    Args:
        objective: an entry of the history, or ``-`` and one that is to be small.
        logs: the history's entries of the epoch.
        problem: name of the problem, for messages.

    Raises:
        ProblemError: the history has no such entry.
    """
    key = objective.removeprefix("-")
    if key not in logs:
        raise ProblemError(
            f"the objective of problem {problem!r} is {key!r}, but training reports "
            f"{sorted(logs)}; choose one of these, or add the metric"
        )
    value = float(logs[key])
    return -value if objective.startswith("-") else value


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
