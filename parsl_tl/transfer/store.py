"""Transfer through a model store: the donor is the model that shares the longest prefix."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import (
    DonorGoneError,
    InvalidValueError,
    ModelExistsError,
    ModelNotFoundError,
    TransferError,
)
from parsl_tl.transfer.method import Stored, Transferred
from parsl_tl.transfer.weights import (
    layers_with_weights,
    read_weights,
    signature,
    signature_of_arrays,
)

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

    from parsl_tl.architecture import ArchitectureGraph
    from parsl_tl.store import Match, ModelStore
    from parsl_tl.store.model_store import ScoreBy

logger = logging.getLogger(__name__)

# One connection per process and URI: workers are long-lived, and opening a store costs more than
# a query. The process id is part of the key, because a forked child must not use its parent's.
_connections: dict[tuple[int, str], ModelStore] = {}
_lock = threading.Lock()


def connect(uri: str) -> ModelStore:
    """Gives this process's connection to a store, opened on first use.

    Raises:
        StoreError: the store cannot be opened.
    """
    from parsl_tl.store import open_store

    key = (os.getpid(), uri)
    with _lock:
        if key not in _connections:
            _connections[key] = open_store(uri)
        return _connections[key]


def disconnect(uri: str | None = None) -> None:
    """Closes this process's connection to one store, or to all."""
    with _lock:
        for key in list(_connections):
            if key[0] == os.getpid() and uri in (None, key[1]):
                _connections.pop(key).close()


atexit.register(disconnect)


class StoreTransfer:
    """Takes weights from, and leaves them in, a model store. Conforms to ``TransferMethod``.

    Args:
        uri: of the store, as ``open_store`` takes it.
        by: what the longest prefix is measured in, ``"layers"`` or ``"bytes"``.
        min_quality: models of less quality are no donors.

    Raises:
        InvalidValueError: the URI is empty.
    """

    name = "store"

    def __init__(
        self, uri: str, *, by: ScoreBy = "layers", min_quality: float | None = None
    ) -> None:
        if not uri:
            raise InvalidValueError(
                "transfer method 'store' needs the URI of a store, such as 'embedded:/scratch/run1'"
            )
        self.uri = uri
        self.by = by
        self.min_quality = min_quality

    def transfer(
        self, model: keras.Model, graph: ArchitectureGraph, *, model_id: int | None
    ) -> Transferred:
        """Sets the weights that the best donor has; see ``TransferMethod.transfer``."""
        store = connect(self.uri)
        match = store.best_ancestor(
            graph,
            by=self.by,
            min_quality=self.min_quality,
            exclude=() if model_id is None else (model_id,),
        )
        if match is None:
            return Transferred()
        shared = set(match.layer_names)
        wanted = {
            name: signature(layer)
            for name, layer in layers_with_weights(model, graph).items()
            if name in shared
        }
        # Shapes first: what does not fit need not be read.
        offered = store.shapes(match.model_id, list(wanted))
        fitting = [name for name in wanted if _same(offered.get(name), wanted[name])]
        if len(fitting) < len(wanted):
            logger.warning(
                "model %016x: %s have equal configs but other weights; not transferred",
                match.model_id,
                sorted(set(wanted) - set(fitting)),
            )
        if not fitting:
            return Transferred(layers_matched=len(match.layer_names))
        return _apply(model, graph, store.read(match.model_id, fitting), match)

    def store(
        self,
        model: keras.Model,
        graph: ArchitectureGraph,
        trained: Collection[str],
        *,
        model_id: int | None,
        quality: float,
        parent: int | None = None,
        transferred: Transferred | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> Stored:
        """Stores what was trained, the rest by reference; see ``TransferMethod.store``.

        Raises:
            InvalidValueError: there is no model id, or the quality is NaN.
            StoreError: nothing was stored.
        """
        if model_id is None:
            raise InvalidValueError("a model is stored under an id; give the evaluation a model_id")
        store = connect(self.uri)
        layers = layers_with_weights(model, graph)
        owned = {name: layer for name, layer in layers.items() if name in set(trained)}
        donor = transferred.donor if transferred is not None else None
        details: dict[str, Any] = {"quality": quality, "parent": parent, "attributes": attributes}
        try:
            try:
                result = store.put(model_id, graph, read_weights(owned), donor=donor, **details)
            except DonorGoneError:
                # Another process retired the donor since. The model has a copy of every weight.
                owned = layers
                result = store.put(model_id, graph, read_weights(owned), donor=None, **details)
        except ModelExistsError:
            recalled = self.recall(graph, model_id=model_id)
            if recalled is None:
                raise
            return Stored(quality=recalled)
        return Stored(result.bytes_stored, tuple(owned), quality)

    def recall(self, graph: ArchitectureGraph, *, model_id: int | None) -> float | None:
        """Gives the quality of a stored model with this id and graph, or None."""
        store = connect(self.uri)
        if model_id is None or model_id not in store:
            return None
        try:
            known = store.graph(model_id)
            quality = store.info(model_id)["quality"]
        except ModelNotFoundError:  # retired between the two questions
            return None
        if set(known.layer_keys.tolist()) != set(graph.layer_keys.tolist()):
            raise ModelExistsError(
                f"model {model_id:016x} is stored with another architecture; ids are never reused, "
                "so give every evaluation its own"
            )
        return float(quality)

    def retire(self, model_id: int) -> int:
        """Retires the model; gives the number of bytes that this freed."""
        return connect(self.uri).retire(model_id)

    def close(self) -> None:
        """Closes this process's connection to the store; a later call opens it anew."""
        disconnect(self.uri)

    def __repr__(self) -> str:
        return f"StoreTransfer({self.uri!r}, by={self.by!r}, min_quality={self.min_quality!r})"


def _same(offered: Sequence[Any] | None, wanted: list[tuple[tuple[int, ...], str]]) -> bool:
    if offered is None:
        return False
    return [(tuple(shape), str(dtype)) for shape, dtype in offered] == wanted


def _apply(
    model: keras.Model,
    graph: ArchitectureGraph,
    arrays: Mapping[str, list[NDArray[np.generic]]],
    match: Match,
) -> Transferred:
    """Sets the weights that were read, after a look at what really came: all of it or nothing."""
    layers = {
        name: layer for name, layer in layers_with_weights(model, graph).items() if name in arrays
    }
    for name, layer in layers.items():
        if signature_of_arrays(arrays[name]) != signature(layer):
            raise TransferError(
                f"layer {name!r} of model {match.model_id:016x} was announced with the weights "
                f"{signature(layer)}, but {signature_of_arrays(arrays[name])} came; "
                "verify the store"
            )
    for name, layer in layers.items():
        layer.set_weights(arrays[name])
    return Transferred(
        donor=match.model_id,
        layer_names=tuple(layers),
        num_bytes=sum(array.nbytes for name in layers for array in arrays[name]),
        layers_matched=len(match.layer_names),
        lease=match,
    )
