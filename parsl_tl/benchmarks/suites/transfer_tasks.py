"""What the tasks of the transfer benchmark do: like evaluations, without training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from parsl_tl.benchmarks.core.start_barrier import BarrierAddress, Participant
from parsl_tl.benchmarks.formats.transfer import TransferPlace, make_method
from parsl_tl.benchmarks.suites.transfer_models import ModelFamily
from parsl_tl.task_process import reason_of

# Ids of the models that tasks make begin here; those below are the donors'.
_FIRST_CHILD = 1 << 32


class TransferCase(NamedTuple):
    """One method and its models.

    Attributes:
        method: name of the transfer method.
        place: where it keeps models.
        family: of the models.
        donors: how many models are there before.
        workers: tasks at once.
    """

    method: str
    place: TransferPlace
    family: ModelFamily
    donors: int
    workers: int


class TransferRow(NamedTuple):
    """One model's way through a method.

    Attributes:
        method: name of the transfer method.
        models: kind of the models.
        worker: which task.
        iteration: of the task.
        standardize_sec: to read the graph from the Keras model and name its layers.
        transfer_sec: to find the donor and set the weights.
        store_sec: to store what is new.
        first_use_sec: what computing with the transferred weights takes longer for the first time
            than for the second: memory that is mapped may have to be found then.
        copy_sec: what Keras takes to copy the same weights in once more: the part of
            ``transfer_sec`` that is not the method's, unless its memory is used in place.
        layers: layers of the model.
        layers_transferred: layers that came over.
        bytes_transferred: of their weights.
        bytes_stored: written for the model's weights, as the method says.
        failure: why there is no more to tell; empty if all went well.
    """

    method: str
    models: str
    worker: int
    iteration: int
    standardize_sec: float | None = None
    transfer_sec: float | None = None
    store_sec: float | None = None
    first_use_sec: float | None = None
    copy_sec: float | None = None
    layers: int = 0
    layers_transferred: int = 0
    bytes_transferred: int = 0
    bytes_stored: int = 0
    failure: str = ""


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
    from parsl_tl.architecture import ArchitectureGraph
    from parsl_tl.transfer.weights import layers_with_weights, read_weights

    row = TransferRow(case.method, case.family.kind, worker, iteration)
    # Every model is new, whoever makes it.
    number = case.donors + 1 + worker + iteration * case.workers
    model_id = _FIRST_CHILD + number
    model = case.family.graph(number).to_keras()
    method = make_method(case.method, case.place)
    try:
        start = time.perf_counter()
        graph = ArchitectureGraph.from_keras(model)
        row = row._replace(layers=len(graph.layer_names))
        named = time.perf_counter()
        transferred = method.transfer(model, graph, model_id=model_id, parent=1)
        had = time.perf_counter()
        taken = [model.get_layer(name) for name in transferred.layer_names]
        first_use = _seconds_of_use(taken) - _seconds_of_use(taken)
        trained = [n for n in layers_with_weights(model, graph) if n not in transferred.layer_names]
        again = read_weights(dict(zip(transferred.layer_names, taken, strict=True)))
        copying = time.perf_counter()
        for layer, arrays in zip(taken, again.values(), strict=True):
            layer.set_weights(arrays)
        since = time.perf_counter()
        stored = method.store(
            model, graph, trained, model_id=model_id, quality=0.1, transferred=transferred
        )
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
    """What one task saw of transfers that were due at fixed times.

    Attributes:
        latencies: from when each was due until it was done, in seconds.
        failures: how many failed.
        failure: why the first of them did.
        seconds: from the start to the end of the last.
    """

    latencies: list[float]
    failures: int
    failure: str
    seconds: float


def run_at_rate(
    case: TransferCase, rate: float, seconds: float, worker: int, address: BarrierAddress
) -> Arrivals:
    """Transfers at fixed times, whether the one before is done or not.

    All tasks together transfer at a rate (1/s), and take turns; transfers are due for some seconds.
    """
    model_id = 2 * _FIRST_CHILD + worker
    graph = case.family.graph(case.donors + 1 + worker)
    model = graph.to_keras()
    method = make_method(case.method, case.place)
    latencies: list[float] = []
    failures, failure = 0, ""
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
                failures += 1
                failure = failure or reason_of(error)
        took = time.perf_counter() - start
        participant.done()
    return Arrivals(latencies, failures, failure, took)
