"""What the tasks of the transfer benchmark do: like evaluations, without training."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np

from parsl_tl.architecture import ArchitectureGraph, GraphBuilder
from parsl_tl.benchmarks.core.options import option
from parsl_tl.benchmarks.core.start_barrier import BarrierAddress, Participant
from parsl_tl.benchmarks.formats.transfer import TransferPlace, make_method
from parsl_tl.errors import InvalidValueError
from parsl_tl.spaces import DenseSkipSpace
from parsl_tl.spaces.keras_layers import dense
from parsl_tl.task_process import reason_of

FamilyKind = Literal["small", "shallow", "dense-skip"]
KINDS: Final[tuple[FamilyKind, ...]] = get_args(FamilyKind)
_FLOAT_BYTES: Final = 4
# A shallow model has so many times fewer layers, of so many times the size.
_SHALLOW: Final = 5
# A variable layer of the dense-skip space has so many layers, on the average.
_LAYERS_PER_CHOICE: Final = 3.6
# Ids of the models that tasks make begin here; those below are the donors'.
_FIRST_CHILD = 1 << 32


@dataclass(frozen=True)
class ModelFamily:
    """Models with a common prefix, as those of a late search have; each has a tail of its own.

    A ``small`` model is a chain of dense layers of equal size, a ``shallow`` one has a fifth of the
    layers, five times as large, and ``dense-skip`` is a random architecture of the dense-skip
    space, of which each model has some of the last choices changed.
    """

    kind: FamilyKind = option("small", "how models are made", flag="--method", choices=KINDS)
    max_layer_size: int = option(
        3_200_000, "bytes of a layer, of the largest one in dense-skip", least=_FLOAT_BYTES
    )
    max_layers: int = option(20, "layers with weights", least=2)
    layers_scale_factor: float = option(1.0, "multiplies all widths", above=0)
    shared: float = option(
        0.9, "share of common layers; dense-skip shares as much as late changes leave", least=0
    )
    seed: int = option(0, "of what is random")

    def check(self) -> None:
        """Raises ``InvalidValueError`` if there are no such models."""
        if self.shared >= 1:
            raise InvalidValueError(f"shared={self.shared} must be below 1")

    def graph(self, number: int) -> ArchitectureGraph:
        """Returns the model with this number; models of one family share a prefix."""
        if self.kind == "dense-skip":
            return self._dense_skip(number)
        fewer = _SHALLOW if self.kind == "shallow" else 1
        count, width = max(2, self.max_layers // fewer), self._width(self.max_layer_size * fewer)
        num_shared = min(round(self.shared * count), count - 1)
        builder = GraphBuilder()
        tensor = builder.input((width,))
        for layer in range(count):
            # Who is in the tail is of equal size, but another layer in every model.
            bias = 0.0 if layer < num_shared else 1.0 + number
            tensor = dense(builder, tensor, width, "relu", bias)
        return builder.build(tensor)

    def _width(self, size: float) -> int:
        return max(1, round(self.layers_scale_factor * math.sqrt(size / _FLOAT_BYTES)))

    def _dense_skip(self, number: int) -> ArchitectureGraph:
        width = self._width(self.max_layer_size)
        step = max(1, width // 6)
        layers = max(1, round(self.max_layers / _LAYERS_PER_CHOICE))
        space = DenseSkipSpace(layers, (step, max(step, width), step))
        sizes = np.array([len(choice.values) for choice in space.choices()])
        sequence = np.random.default_rng([self.seed, 7]).integers(sizes)
        # Numbers count through the choices as through digits, the last choice first.
        rest = number
        for place in range(len(sizes) - 1, -1, -1):
            sequence[place] = (sequence[place] + rest) % sizes[place]
            rest //= int(sizes[place])
        return space.build(sequence.tolist(), (width,), (1,))


class TransferCase(NamedTuple):
    """A method, where it keeps models, which, how many are there before, and tasks at once."""

    method: str
    place: TransferPlace
    family: ModelFamily
    donors: int
    workers: int


class TransferRow(NamedTuple):
    """One model's way through a method.

    ``first_use_sec`` is what computing with the transferred weights takes longer for the first time
    than for the second: memory that is mapped may have to be found then. ``copy_sec`` is what Keras
    takes to copy the same weights in once more: the part of ``transfer_sec`` that is not the
    method's, unless its memory is used in place.
    """

    method: str  # name of the transfer method
    models: str  # kind of the models
    worker: int  # which task
    iteration: int  # of the task
    standardize_sec: float | None = None  # to read the Keras model's graph and name its layers
    transfer_sec: float | None = None  # to find the donor and set the weights
    store_sec: float | None = None  # to store what is new
    first_use_sec: float | None = None
    copy_sec: float | None = None
    layers: int = 0  # layers of the model
    layers_transferred: int = 0  # layers that came over
    bytes_transferred: int = 0  # of their weights
    bytes_stored: int = 0  # written for the model's weights, as the method says
    failure: str = ""  # why there is no more to tell; empty if all went well


def store_donors(case: TransferCase) -> None:
    """Stores the models that are there before anything is measured."""
    from parsl_tl.transfer.weights import layers_with_weights

    method = make_method(case.method, case.place)
    for number in range(1, case.donors + 1):
        graph = case.family.graph(number)
        model = graph.to_keras()
        # As in a search: only the first one is stored whole.
        had = method.transfer(model, graph, model_id=number, parent=1)
        trained = [n for n in layers_with_weights(model, graph) if n not in had.layer_names]
        method.store(model, graph, trained, model_id=number, quality=0.5, transferred=had)
    method.close()


def run_transfers(
    case: TransferCase, iterations: int, worker: int, address: BarrierAddress
) -> list[TransferRow]:
    """Lets models take over and be stored, one after the other; all tasks start together."""
    with Participant(address, worker) as participant:
        _one_transfer(case, worker, iterations)  # libraries are loaded, connections open
        participant.wait()
        rows = [_one_transfer(case, worker, iteration) for iteration in range(iterations)]
        participant.done()
    return rows


def _one_transfer(case: TransferCase, worker: int, iteration: int) -> TransferRow:
    from parsl_tl.transfer.weights import layers_with_weights, read_weights

    row = TransferRow(case.method, case.family.kind, worker, iteration)
    # Every model is new, whoever makes it.
    number = case.donors + 1 + worker + iteration * case.workers
    known: dict[str, Any] = {"model_id": _FIRST_CHILD + number}
    model = case.family.graph(number).to_keras()
    method = make_method(case.method, case.place)
    try:
        start = time.perf_counter()
        graph = ArchitectureGraph.from_keras(model)
        row = row._replace(layers=len(graph.layer_names))
        named = time.perf_counter()
        transferred = method.transfer(model, graph, parent=1, **known)
        had = time.perf_counter()
        taken = [model.get_layer(name) for name in transferred.layer_names]
        first_use = _seconds_of_use(taken) - _seconds_of_use(taken)
        trained = [n for n in layers_with_weights(model, graph) if n not in transferred.layer_names]
        again = read_weights(dict(zip(transferred.layer_names, taken, strict=True)))
        copying = time.perf_counter()
        for layer, arrays in zip(taken, again.values(), strict=True):
            layer.set_weights(arrays)
        since = time.perf_counter()
        stored = method.store(model, graph, trained, quality=0.1, transferred=transferred, **known)
        end = time.perf_counter()
    except Exception as error:  # whatever a file system or server may do
        return row._replace(failure=reason_of(error))
    return row._replace(
        standardize_sec=named - start,
        transfer_sec=had - named,
        store_sec=end - since,
        first_use_sec=max(0.0, first_use),
        copy_sec=since - copying,
        layers_transferred=len(transferred.layer_names),
        bytes_transferred=transferred.num_bytes,
        bytes_stored=stored.num_bytes,
    )


def _seconds_of_use(layers: Sequence[Any]) -> float:
    """Reads every weight once, as a forward pass does."""
    import keras

    start = time.perf_counter()
    for layer in layers:
        for weight in layer.weights:
            float(keras.ops.sum(weight))
    return time.perf_counter() - start


class Arrivals(NamedTuple):
    """What one task saw of transfers that were due at fixed times."""

    latencies: list[float]  # from when each was due until it was done, in seconds
    failures: list[str]  # why others failed
    seconds: float  # from the start to the end of the last


def run_at_rate(
    case: TransferCase, rate: float, seconds: float, worker: int, address: BarrierAddress
) -> Arrivals:
    """Transfers at fixed times, whether the one before is done or not.

    All tasks together transfer at a rate (1/s), and take turns; transfers are due for some seconds.
    """
    model_id, graph = 2 * _FIRST_CHILD + worker, case.family.graph(case.donors + 1 + worker)
    model, method = graph.to_keras(), make_method(case.method, case.place)
    latencies: list[float] = []
    failures: list[str] = []
    with Participant(address, worker) as participant:
        participant.wait()
        start = time.perf_counter()
        for turn in range(worker, max(case.workers, round(rate * seconds)), case.workers):
            due = start + turn / rate
            # One that is hopelessly late tells nothing new.
            if time.perf_counter() - start > 2 * seconds:
                break
            time.sleep(max(0.0, due - time.perf_counter()))
            try:
                method.transfer(model, graph, model_id=model_id, parent=1)
                latencies.append(time.perf_counter() - due)
            except Exception as error:  # see above
                failures.append(reason_of(error))
        took = time.perf_counter() - start
        participant.done()
    return Arrivals(latencies, failures, took)
