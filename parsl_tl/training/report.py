"""What an evaluation tells about itself: one record, the source of every figure."""

from __future__ import annotations

import math
import os
import socket
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from parsl_tl.events import Slices
from parsl_tl.store.model_id import format_model_id
from parsl_tl.training.runtime import visible_gpu
from parsl_tl.training.worker_note import WorkerNote

Phase = Literal["start", "load", "build", "transfer", "train", "prefix", "store"]

STEPS: Final = ("start", "load", "build", "transfer", "prefix", "train", "store")
"""The phases in the order in which an evaluation goes through them."""

_MAX_ERROR_LENGTH = 2000
_MAX_TRACEBACK_LENGTH = 4000
# Kinds of errors by which frameworks and Python say that memory ran out, and words of others.
_OUT_OF_MEMORY = ("ResourceExhaustedError", "MemoryError")
_OUT_OF_MEMORY_TEXTS = ("out of memory", "resource_exhausted", "can't allocate memory")


@dataclass
class TrainingReport:
    """Figures of one evaluation.

    ``layers`` counts as the store does, all layers of the graph; ``layers_total`` and
    ``layers_transferred`` count those of them that hold weights.

    Attributes:
        objective: validation value of the weights that were kept; larger is better. None until
            training ended, and when it failed.
        model_id: id of the candidate.
        parent: id of the model it is a mutation of.
        donor: id of the model that weights came from.
        seed: what randomness was seeded with.
        epochs: epochs trained.
        best_epoch: the epoch whose weights were kept, from 1; 0 when nothing was trained.
        parameters_total: numbers in all weights.
        parameters_trainable: those that training could change from its start on.
        layers: all layers of the architecture, its inputs and those without weights included.
        layers_total: layers with weights.
        layers_matched: layers shared with the donor, those without weights included.
        layers_transferred: layers whose weights came from the donor.
        bytes_total: size of all weights.
        bytes_transferred: size of the weights that came from the donor.
        bytes_stored: bytes written to the store; with ``store_pending``, bytes to be written.
        frontier_bytes: size of what left the frozen prefix, over all rows, where that was computed
            once instead of in every step; 0 where it was not.
        prefix_cached: whether all of it was on the node already, computed for another model; None
            where the whole model was trained.
        seconds_start: loading and setting up TensorFlow, once per worker.
        seconds_load: getting the data (nearly nothing after a worker's first evaluation).
        seconds_build: from choices to a Keras model.
        seconds_transfer: finding a donor, reading and setting weights.
        seconds_train: compiling, training, validating.
        seconds_prefix: computing or loading what leaves the frozen prefix, once; part of
            ``seconds_train``.
        seconds_data: that training steps waited for batches, part of ``seconds_train``; nearly 0
            for arrays in memory. None where nobody can tell: with other backends than TensorFlow,
            compiled by XLA, and for streams that do not know how many batches they have.
        seconds_store: storing.
        seconds_total: all of it.
        seconds_cpu: processor seconds of the worker's process, without ``seconds_start``.
        seconds_looked_up: how long the training took where a table of results was made, for a
            problem that is one; None where a model was trained.
        recalled: an earlier attempt had stored this very model; it was not trained again.
        transfer_error: why there was no transfer although one was wanted.
        store_pending: the model was still on its way to the store, in the background.
        store_error: why the model was not stored, although the evaluation succeeded. With storing
            in the background it is why earlier ones of the same worker were not, with
            ``model <id>:`` before each reason.
        not_stored: ids of these models, 16 hex digits each, separated by spaces.
        error: why the evaluation failed.
        traceback: where it failed; its end, if it is long.
        started_ns: when the evaluation started, in nanoseconds since 1970 by the worker's clock.
        ended_ns: when it ended.
        worker: host and process, ``host:pid``.
        slot: Parsl's block, pool and worker of it, ``block/pool/rank``; a worker that is started
            anew after a crash has the slot of the one before. None outside of Parsl's workers.
        gpu: the device it could use, or None.
        history: all metrics of every epoch, of training and (``val_``) validation, as Keras names
            them; one entry, that of the validation, for a model in which nothing was trained. In
            the metadata it is a list of values for each metric, None for what is not finite.
        others: further values that a table of results has; in the metadata they stand beside these.
        note: where the worker notes what it is at, for who watches; no part of the metadata.
        parts: what the evaluation did when, without a gap from ``started_ns`` on. In the metadata
            it is ``steps``: name and begin of each, in nanoseconds since ``started_ns``; each ends
            where the next one begins, and the last one at ``ended_ns``.
    """

    objective: float | None = None
    model_id: int | None = None
    parent: int | None = None
    donor: int | None = None
    seed: int | None = None
    epochs: int = 0
    best_epoch: int = 0
    parameters_total: int = 0
    parameters_trainable: int = 0
    layers: int = 0
    layers_total: int = 0
    layers_matched: int = 0
    layers_transferred: int = 0
    bytes_total: int = 0
    bytes_transferred: int = 0
    bytes_stored: int = 0
    frontier_bytes: int = 0
    prefix_cached: bool | None = None
    seconds_start: float = 0.0
    seconds_load: float = 0.0
    seconds_build: float = 0.0
    seconds_transfer: float = 0.0
    seconds_train: float = 0.0
    seconds_prefix: float = 0.0
    seconds_data: float | None = None
    seconds_store: float = 0.0
    seconds_total: float = 0.0
    seconds_cpu: float = 0.0
    seconds_looked_up: float | None = None
    recalled: bool = False
    transfer_error: str | None = None
    store_pending: bool = False
    store_error: str | None = None
    not_stored: str | None = None
    error: str | None = None
    traceback: str | None = field(default=None, repr=False)
    started_ns: int = field(default_factory=time.time_ns)
    ended_ns: int | None = None
    worker: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    slot: str | None = field(default_factory=lambda: _parsl_slot())
    gpu: str | None = field(default_factory=visible_gpu)
    history: list[dict[str, float]] = field(default_factory=list, repr=False)
    others: dict[str, Any] = field(default_factory=dict, repr=False)
    note: WorkerNote | None = field(default=None, repr=False)
    parts: Slices = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.parts = Slices(self.started_ns)

    def begin_notes(self, folder: str | None, job: int | None) -> None:
        """Notes from now on, in a folder, at what the evaluation is; None notes nothing."""
        if folder is not None:
            told = {"job": job, "started_ns": self.started_ns, "worker": self.worker}
            self.note = WorkerNote(folder, {**told, "slot": self.slot})

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        """Adds the seconds of the block to those of a phase, also when it raises."""
        start = time.perf_counter()
        with self.parts.part(phase):
            if self.note is not None:
                self.note.tell(phase)
            try:
                yield
            finally:
                name = f"seconds_{phase}"
                setattr(self, name, getattr(self, name) + time.perf_counter() - start)

    def note_not_stored(self, reasons: Iterable[tuple[int | None, str]]) -> None:
        """Notes models that could not be stored: why, by model id."""
        texts, ids = [], []
        for model_id, reason in reasons:
            own = model_id == self.model_id
            texts.append(reason if own else f"model {_hex(model_id)}: {reason}")
            ids.append(_hex(model_id))
        if texts:
            self.store_error = _bounded("; ".join(texts))
            self.not_stored = " ".join(ids)

    def looked_up(self, known: Mapping[str, Any]) -> None:
        """Takes over a result that was known without training; see ``Problem.look_up``."""
        others = dict(known)
        self.objective = float(others.pop("objective"))
        self.seconds_looked_up = float(others.pop("seconds"))
        self.others = others

    def metadata(self) -> dict[str, Any]:
        """Returns all but the objective as JSON-able values; ``history`` and ``steps`` are nested.

        The first call notes the end of the evaluation.
        """
        self.ended_ns = self.ended_ns or time.time_ns()
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("objective", "history", "others", "note", "parts"):
            del values[name]
        flat = {
            name: round(value, 6) if name.startswith("seconds_") and value is not None else value
            for name, value in {**self.others, **values}.items()
        }
        steps = [[name, begin - self.started_ns] for name, begin in self.parts.marks]
        return {**flat, "history": _by_metric(self.history), "steps": steps}

    def output(self) -> dict[str, Any]:
        """Returns what a run function returns for an evaluation that succeeded."""
        return {"objective": self.objective, "metadata": self.metadata()}

    def failure(self, error: BaseException) -> dict[str, Any]:
        """Returns what a run function returns for an evaluation that failed."""
        self.objective = None
        self.error = describe(error)
        self.traceback = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK_LENGTH:]
        return {"objective": f"F_{failure_reason(error)}", "metadata": self.metadata()}


def _parsl_slot() -> str | None:
    """Returns which worker of Parsl's this is, from what its pool put into the environment."""
    names = ("PARSL_WORKER_BLOCK_ID", "PARSL_WORKER_POOL_ID", "PARSL_WORKER_RANK")
    values = [os.environ.get(name) for name in names]
    return None if values[-1] is None else "/".join(value or "-" for value in values)


def describe(error: BaseException) -> str:
    """Returns an error's type and message in one bounded text."""
    return _bounded(f"{type(error).__name__}: {error}")


def _by_metric(history: list[dict[str, float]]) -> dict[str, list[float | None]]:
    """Turns the metrics of epochs into the epochs of metrics."""
    names = dict.fromkeys(name for logs in history for name in logs)
    return {
        name: [
            value if (value := logs.get(name)) is not None and math.isfinite(value) else None
            for logs in history
        ]
        for name in names
    }


def _hex(model_id: int | None) -> str:
    return "-" if model_id is None else format_model_id(model_id)


def _bounded(text: str) -> str:
    return text if len(text) <= _MAX_ERROR_LENGTH else text[: _MAX_ERROR_LENGTH - 3] + "..."


def failure_reason(error: BaseException) -> str:
    """Returns the short reason of a failure: ``NaNLoss``, ``OutOfMemory``, ``Architecture``, ...

    It is the name of the exception without ``Error``, except that every way to run out of memory,
    on the host or on a device, is ``OutOfMemory``.
    """
    if type(error).__name__ == "AppTimeout":  # how Parsl ends a task that is over its walltime
        return "EvaluationTimeout"
    names = {cls.__name__ for cls in type(error).__mro__}
    # Drivers report some failed allocations as internal errors; only their text tells.
    text = str(error).lower()
    if names.intersection(_OUT_OF_MEMORY) or any(words in text for words in _OUT_OF_MEMORY_TEXTS):
        return "OutOfMemory"
    return type(error).__name__.removesuffix("Error") or "Error"
