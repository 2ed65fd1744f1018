"""Transfer through a model store: the donor is the model that shares the longest prefix."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.keras_state import check_model
from parsl_tl.errors import (
    DonorGoneError,
    InvalidValueError,
    ModelExistsError,
    ModelNotFoundError,
    StoreUnreachableError,
)
from parsl_tl.store.fingerprint import check_fingerprint
from parsl_tl.transfer.connections import asking, connect, disconnect, storing
from parsl_tl.transfer.donor_weights import Donor, copy_donor_weights
from parsl_tl.transfer.method import Stored, Transferred
from parsl_tl.transfer.pending import pending_writer_of
from parsl_tl.transfer.weights import layers_with_weights, read_weights

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from parsl_tl.architecture import ArchitectureGraph
    from parsl_tl.store import Match, ModelStore
    from parsl_tl.store.query_options import ScoreBy

__all__ = ["StoreTransfer", "connect", "disconnect"]


class StoreTransfer:
    """Takes weights from, and leaves them in, a model store. Conforms to ``TransferMethod``.

    Args:
        uri: of the store, as ``open_store`` takes it.
        by: what the longest prefix is measured in, ``"layers"`` or ``"bytes"``.
        min_quality: models of less quality are no donors.
        quality_rate: layers (or bytes, as ``by`` says) that one unit of quality is worth.
        overlap: store in the writer, while the process goes on with its next evaluation; at
            most two models are on their way. The price: an evaluation's result may be known
            before its model is stored, so other processes may not find it as a donor yet, and a
            process that is killed then leaves a result without a model. A model of this process
            that would be the best donor is waited for. What goes wrong is reported with the next
            model that is stored, as ``Stored.failures``.

    Raises:
        InvalidValueError: the URI is empty.
    """

    name = "store"
    needs = "uri"

    def __init__(
        self,
        uri: str,
        *,
        by: ScoreBy = "layers",
        min_quality: float | None = None,
        quality_rate: float = 0.0,
        overlap: bool = False,
    ) -> None:
        if not uri:
            raise InvalidValueError(
                "transfer method 'store' needs the URI of a store, such as 'embedded:/scratch/run1'"
            )
        self.uri = uri
        self.by = by
        self.min_quality = min_quality
        self.quality_rate = quality_rate
        self.overlap = overlap

    def transfer(
        self,
        model: keras.Model,
        graph: ArchitectureGraph,
        *,
        model_id: int | None,
        parent: int | None = None,
        fingerprints: Collection[int] | None = None,
    ) -> Transferred:
        """Sets the weights that the best donor has; see ``TransferMethod.transfer``."""
        with asking(self.uri) as store:
            return self._transfer(store, model, graph, model_id, fingerprints)

    def _transfer(
        self,
        store: ModelStore,
        model: keras.Model,
        graph: ArchitectureGraph,
        model_id: int | None,
        fingerprints: Collection[int] | None,
    ) -> Transferred:
        match = self._find_donor(store, graph, model_id, fingerprints)
        if match is None:
            return Transferred()
        donor = Donor(match.model_id, match.layer_names, lease=match)
        return copy_donor_weights(model, graph, donor, match.shapes, match.read)

    def _find_donor(
        self,
        store: ModelStore,
        graph: ArchitectureGraph,
        model_id: int | None,
        fingerprints: Collection[int] | None,
    ) -> Match | None:
        def ask() -> Match | None:
            return store.find_donor(
                graph,
                by=self.by,
                min_quality=self.min_quality,
                quality_rate=self.quality_rate,
                exclude=() if model_id is None else (model_id,),
                fingerprints=fingerprints,
            )

        match = ask()
        if not self.overlap:
            return match
        # What this process has on its way may be a better donor than all that is stored.
        writer, keys = pending_writer_of(self.uri), frozenset(graph.layer_keys.tolist())
        found = (0, 0.0) if match is None else (len(match.layer_names), match.quality)
        by_length = self.by == "layers" and not self.quality_rate
        better = [
            item.model_id
            for item in writer.pending
            if (shared := len(item.layer_keys & keys))
            and item.model_id != model_id
            and (fingerprints is None or item.fingerprint in fingerprints)
            and (self.min_quality is None or item.quality >= self.min_quality)
            and (not by_length or (shared, item.quality) >= found)
        ]
        for donor in better:
            writer.wait_for(donor)
        return ask() if better else match

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
        fingerprint: int = 0,
    ) -> Stored:
        """Stores what was trained, the rest by reference; see ``TransferMethod.store``.

        Raises:
            InvalidValueError: there is no model id, the quality is NaN, or the fingerprint is out
                of range.
            ArchitectureError: a layer keeps more than config and weights, which would be lost.
            StoreError: nothing was stored.
        """
        if model_id is None:
            raise InvalidValueError("a model is stored under an id; give the evaluation a model_id")
        check_model(model)
        layers = layers_with_weights(model, graph)
        owned = [name for name in layers if name in set(trained)]
        details: dict[str, Any] = {
            "quality": quality,
            "parent": parent,
            "attributes": attributes,
            "fingerprint": check_fingerprint(fingerprint),
        }
        donor = transferred.donor if transferred is not None else None
        put = partial(self._put, model_id, graph, owned, list(layers), donor, details)
        if not self.overlap:
            return put(lambda names: read_weights(_pick(layers, names)))
        # By its turn the model is gone, and maybe the donor: all that may be needed is copied.
        copies = read_weights(layers if donor is not None else _pick(layers, owned))
        failures = pending_writer_of(self.uri).put(
            model_id,
            graph.layer_keys.tolist(),
            quality,
            partial(put, lambda names: _pick(copies, names)),
            fingerprint,
        )
        return Stored(
            num_bytes=sum(array.nbytes for name in owned for array in copies[name]),
            layer_names=tuple(owned),
            quality=quality,
            pending=True,
            failures=failures,
        )

    def _put(
        self,
        model_id: int,
        graph: ArchitectureGraph,
        owned: Sequence[str],
        everything: Sequence[str],
        donor: int | None,
        details: Mapping[str, Any],
        weights: Callable[[Sequence[str]], dict[str, list[NDArray[Any]]]],
    ) -> Stored:
        try:
            with storing(self.uri, model_id) as store:
                try:
                    result = store.put(model_id, graph, weights(owned), donor=donor, **details)
                except (DonorGoneError, StoreUnreachableError):
                    # Another process retired the donor since, or the donor's server is away. The
                    # model has a copy of every weight.
                    if donor is None:
                        raise
                    owned = everything
                    result = store.put(model_id, graph, weights(owned), donor=None, **details)
        except ModelExistsError:
            recalled = self._recall(graph, model_id)
            if recalled is None:
                raise
            return Stored(quality=recalled)
        return Stored(result.bytes_stored, tuple(owned), details["quality"])

    def recall(self, graph: ArchitectureGraph, *, model_id: int | None) -> float | None:
        """Returns the quality of a stored model with this id and graph, or None."""
        if model_id is None:
            return None
        if self.overlap:  # an earlier attempt of this process may be storing it right now
            pending_writer_of(self.uri).wait_for(model_id)
        return self._recall(graph, model_id)

    def _recall(self, graph: ArchitectureGraph, model_id: int) -> float | None:
        with asking(self.uri) as store:
            if model_id not in store:
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

    def check(self) -> None:
        """Opens the store.

        Raises:
            StoreError: it cannot be opened.
        """
        connect(self.uri)

    def close(self) -> None:
        """Closes this process's connection to the store; a later call opens it anew.

        What is still being stored in the background is waited for.
        """
        disconnect(self.uri)

    def __repr__(self) -> str:
        return (
            f"StoreTransfer({self.uri!r}, by={self.by!r}, min_quality={self.min_quality!r}, "
            f"quality_rate={self.quality_rate!r}, overlap={self.overlap!r})"
        )


def _pick(layers: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: layers[name] for name in names}
