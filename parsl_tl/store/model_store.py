"""The model store: what it offers, whether in this process or on servers."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from parsl_tl.deprecation import moved_names
from parsl_tl.errors import InvalidValueError
from parsl_tl.events import annotate
from parsl_tl.store.answers import CompactReport, PutResult, VerifyReport
from parsl_tl.store.arrow_table import table_of
from parsl_tl.store.donor_queries import DonorQueries
from parsl_tl.store.model_id import check_model_id, format_model_id
from parsl_tl.store.notebook import show_store
from parsl_tl.store.pinned_reading import Arrays, Weights, read_layers, shapes_of
from parsl_tl.store.put_request import parents_of, put_request
from parsl_tl.store.recorded_calls import recorded

if TYPE_CHECKING:
    import pyarrow as pa

    from parsl_tl._native import Engine, RemoteStore
    from parsl_tl.architecture import ArchitectureGraph

__getattr__ = moved_names(
    __name__,
    {
        "BestAncestors": "parsl_tl.store.answers:FoundDonors",
        "Match": "parsl_tl.store.answers:Match",
        "ScoreBy": "parsl_tl.store.query_options:ScoreBy",
    },
)


class ModelStore(DonorQueries, ABC):
    """A store of models that share weights.

    A model is its architecture, the weights of the layers it owns, and references to those it
    shares with earlier models. Model ids are unsigned 64-bit integers and are never reused.
    Usable as a context manager, from several threads, and from several processes at once.
    """

    uri: str

    def __init__(self, engine: Engine | RemoteStore) -> None:
        """Takes an engine.

        Args:
            engine: ``native.Engine`` or ``native.RemoteStore``, which offer the same calls.
        """
        self._engine = engine
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def _pass_on_warnings(self) -> None:
        """Hands on what the engine has to say about what it repaired."""
        return

    @overload
    def put(
        self,
        model_id: int,
        graph: ArchitectureGraph,
        weights: Weights,
        *,
        quality: float,
        parent: int | None = None,
        donor: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        fingerprint: int = 0,
        wait: Literal[True] = True,
    ) -> PutResult: ...

    @overload
    def put(
        self,
        model_id: int,
        graph: ArchitectureGraph,
        weights: Weights,
        *,
        quality: float,
        parent: int | None = None,
        donor: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        fingerprint: int = 0,
        wait: Literal[False],
    ) -> Future[PutResult]: ...

    def put(
        self,
        model_id: int,
        graph: ArchitectureGraph,
        weights: Weights,
        *,
        quality: float,
        parent: int | None = None,
        donor: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        fingerprint: int = 0,
        wait: bool = True,
    ) -> PutResult | Future[PutResult]:
        """Stores a model; once this returns, the model survives the death of any process.

        Args:
            model_id: an id that was never used in this store.
            graph: the architecture.
            weights: arrays of each layer that the model owns, by stable layer name, in the order
                of ``keras.Layer.weights``. Layers with weights that are not listed are shared
                with the donor (or with the parent, when no donor is named). Where neither is
                named, the model is stored without them, and the result tells which.
            quality: the objective, higher is better. Finite; may be negative.
            parent: the model that this one was mutated from. It may be retired: then it is
                lineage alone, and nothing is shared with it.
            donor: the model whose prefix came over.
            attributes: anything JSON can hold, kept with the model.
            fingerprint: of the data that the model was trained on, unsigned 64-bit; 0 says none.
                Queries may allow donors of some data only.
            wait: False stores the model in the background, in the order of the calls, and gives a
                future at once. The arrays must stay as they are until it is done, and it is the
                future that tells what went wrong. ``close`` waits for all of them.

        Raises:
            InvalidValueError: a NaN quality, an id or fingerprint out of range, weights for an
                unknown layer; with a parent or donor, a layer that has weights (as classes of Keras
                tell, or other models of the store) and gets none, neither from here nor from them.
            ArchitectureError: the graph was read from a model in which a layer keeps more than
                config and weights.
            ModelExistsError: the id was used before, by a living or retired model.
            DonorGoneError: the donor was retired in the meantime, or the parent where no donor
                is named and weights are lacking: store all weights instead.
            StoreIdentityError: a server, or the folder, is another store than it was.
            StoreFullError: no space is left; the store is as before.
            StorePermissionError: the store is read-only.
        """
        request = put_request(
            model_id, graph, weights, quality, parent, donor, attributes, fingerprint
        )
        if wait:
            return self._put(request)
        # For who records, it is a part of what is done here.
        return self._background().submit(copy_context().run, self._put, request)

    @recorded("store.put")
    def _put(self, request: tuple[Any, ...]) -> PutResult:
        *stated, tensors, weighted = request
        parent, donor = stated[2:4]
        # Who shares with nobody may store as little as they like; the result lists what is missing.
        is_alone = parent is None and donor is None
        # mypy cannot count what the list holds.
        result = self._engine.put(*stated, tensors, None if is_alone else weighted)  # type: ignore[call-arg]
        annotate(model_id=format_model_id(stated[0]), bytes=result.bytes_stored)
        self._pass_on_warnings()
        given = {layer for layer, *_ in tensors}
        names = stated[6]
        return PutResult(
            result.bytes_stored,
            result.layers_stored,
            result.layers_inherited,
            shared_with=(parent if donor is None else donor) if result.layers_inherited else None,
            layers_lacking=[names[i] for i in weighted[0] if i not in given] if is_alone else [],
        )

    def _background(self) -> ThreadPoolExecutor:
        # One thread, so that a child follows its parent.
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, thread_name_prefix="store-put")
            return self._executor

    def put_architectures(
        self,
        model_ids: NDArray[np.uint64],
        qualities: NDArray[np.float64],
        layer_starts: NDArray[np.int64],
        prefix_hashes: NDArray[np.uint64],
        class_ids: NDArray[np.uint16],
        class_names: Sequence[str],
        edge_starts: NDArray[np.int64],
        edges: NDArray[np.uint32],
        parents: NDArray[np.int64] | None = None,
        fingerprints: NDArray[np.uint64] | None = None,
    ) -> None:
        """Stores many models without weights, from flat arrays: populations, for load tests.

        The models can be found by ``find_donor``; their Keras JSON is empty, so that
        ``graph`` cannot give them back.

        Args:
            model_ids: [n].
            qualities: [n], finite.
            layer_starts: [n + 1]; layers of model i stand from ``layer_starts[i]`` on.
            prefix_hashes: one per layer, topological order.
            class_ids: one per layer, an index into ``class_names``.
            class_names: Keras classes.
            edge_starts: [n + 1], as ``layer_starts``.
            edges: [m, 2], source and target, counted within the model.
            parents: [n], the position of the parent in these arrays; -1 for none.
            fingerprints: [n], of the data of each model; 0 says none, as does None for all.

        Raises:
            InvalidValueError: arrays that do not fit each other.
            ModelExistsError: an id was used before; the message tells how many were stored.
        """
        ids = np.asarray(model_ids, np.uint64)
        parent_ids, has_parent = parents_of(ids, parents)
        self._engine.put_architectures(
            ids,
            qualities,
            parent_ids,
            has_parent,
            layer_starts,
            prefix_hashes,
            class_ids,
            list(class_names),
            edge_starts,
            np.asarray(edges, np.uint32).reshape(-1),
            np.empty(0, np.uint64) if fingerprints is None else fingerprints,
        )
        self._pass_on_warnings()

    @recorded("store.read")
    def read(
        self,
        model_id: int,
        layer_names: Collection[str] | None = None,
        *,
        out: Weights | None = None,
    ) -> dict[str, Arrays]:
        """Reads the weights of a model, or of some of its layers.

        Args:
            model_id: a living model, or one that a ``Match`` in this process still holds.
            layer_names: which layers; all that have weights when None.
            out: arrays to copy into, by layer name, with the stored shapes and dtypes.

        Returns:
            Arrays by layer name: read-only views of the stored bytes without a copy, or the
            arrays of ``out``.

        Raises:
            ModelNotFoundError: no such model, or it was retired.
            InvalidValueError: an unknown layer, or an array of ``out`` that does not fit.
            StoreCorruptError: stored bytes fail their checksum.
        """
        pinned = self._engine.pin(check_model_id(model_id))
        return read_layers(pinned, None if layer_names is None else list(layer_names), out)

    def shapes(
        self, model_id: int, layer_names: Collection[str] | None = None
    ) -> dict[str, list[tuple[tuple[int, ...], str]]]:
        """Returns ``(shape, dtype name)`` of each weight, by layer name, without reading any."""
        pinned = self._engine.pin(check_model_id(model_id))
        return shapes_of(pinned, None if layer_names is None else list(layer_names))

    def composition(self, model_id: int) -> dict[str, int]:
        """Returns the owner of each layer, by stable layer name, in topological order."""
        layers = self._engine.model(check_model_id(model_id))["layers"]
        return {name: owner for name, _, owner in layers}

    def lineage(self, model_id: int) -> list[int]:
        """Returns the parent, its parent, and so on; retired models included."""
        return list(self._engine.ancestors(check_model_id(model_id)))

    def descendants(self, model_id: int) -> list[int]:
        """Returns children, then their children, and so on; retired models included."""
        return list(self._engine.descendants(check_model_id(model_id)))

    @recorded("store.retire")
    def retire(self, model_id: int) -> int:
        """Takes a model out; frees what no living model refers to.

        Returns:
            Bytes of weights that were freed.

        Raises:
            ModelNotFoundError: no such model, or it was retired before.
        """
        freed = int(self._engine.retire(check_model_id(model_id)))
        annotate(bytes=freed)
        return freed

    def reference_count(self, owner: int, layer_name: str) -> int:
        """Returns how many living models hold the owner's layer; 0 if it was freed."""
        from parsl_tl.architecture import layer_key

        return int(self._engine.reference_count(check_model_id(owner), layer_key(layer_name)))

    def graph(self, model_id: int) -> ArchitectureGraph:
        """Returns the model's architecture."""
        from parsl_tl.architecture import ArchitectureGraph

        return ArchitectureGraph.from_json(self._engine.architecture(check_model_id(model_id)))

    def info(self, model_id: int) -> dict[str, Any]:
        """Returns what is known of the model.

        ``quality``, ``parent``, ``donor``, ``fingerprint`` (of its data, 0 if none was said),
        ``created_ns`` (since 1970), ``bytes_owned``, ``bytes_total``, ``layers``, ``attributes``.
        """
        info: dict[str, Any] = {**self._engine.model(check_model_id(model_id))}
        info["layers"] = [name for name, _, _ in info["layers"]]
        info["attributes"] = json.loads(info["attributes"])
        return info

    def models(self) -> pa.Table:
        """Returns one row per living model, in the order they were stored.

        Columns: ``model_id``, ``parent``, ``donor`` (uint64), ``quality`` (float64),
        ``num_layers`` (uint32, all layers of the graph), ``bytes_owned``, ``bytes_total`` (uint64),
        ``created`` (timestamp[ns, UTC]), ``attributes`` (JSON text), ``fingerprint`` (uint64, of
        the data, 0 if none was said). Ids stay exact in pandas.
        """
        return table_of(self._engine.models())

    def stats(self) -> dict[str, int]:
        """Returns counts and bytes.

        ``models``, ``layers`` (with weights, each owned once), ``layer_references``, ``segments``,
        ``bytes_live`` (weights that living models hold), ``bytes_segments`` (the files they lie
        in), ``bytes_log``, ``bytes_snapshot``, and the memory of the prefix index:
        ``bytes_index_shared`` is mapped once for all processes of the node,
        ``bytes_index_private`` is this process's share for the ``changes_since_snapshot``.
        """
        return dict(self._engine.stats())

    @property
    @abstractmethod
    def identities(self) -> list[str]:
        """The identity of the store, 32 hexadecimal digits; on servers, that of each of them."""

    def release_orphans(self) -> int:
        """Lets go of layers that are held for models which do not exist.

        A model that shares layers of another server has them held there, before it is stored and
        until it is retired. Held in vain they are after a server went away, or a process died,
        between the two. Nothing that is under way is touched.

        Returns:
            Bytes of weights that were freed.
        """
        return 0  # nothing is held for others within one folder

    def compact(self) -> CompactReport:
        """Gives the space of retired models back to the file system.

        Files of weights that still hold layers of living models are written anew without the
        rest, and so is the log. Others read on meanwhile; arrays that were read stay valid. Who
        writes waits while the log is rewritten.
        """
        report = self._engine.compact()
        return CompactReport(report.segments_rewritten, report.bytes_freed)

    def fold(self) -> None:
        """Writes a snapshot of the catalog now, so that the next opening has nothing to replay.

        The engine does so by itself, in the background, whenever enough has changed.
        """
        self._engine.fold()
        self._pass_on_warnings()

    def verify(self) -> VerifyReport:
        """Computes every checksum and counts every reference anew."""
        report = self._engine.verify()
        return VerifyReport(report.models, report.tensors, report.bytes, list(report.problems))

    @recorded("store.contains")
    def __contains__(self, model_id: object) -> bool:
        try:
            return bool(self._engine.contains(check_model_id(model_id)))  # type: ignore[arg-type]
        except InvalidValueError:
            return False  # what cannot be an id is in no store

    def __len__(self) -> int:
        return int(self._engine.num_models())

    def _repr_html_(self) -> str:
        return show_store(f"{type(self).__name__} {self.uri}", self.stats)

    def close(self) -> None:
        """Ends the use of the store; arrays that were read stay valid."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True)
        self._engine.close()

    def __enter__(self) -> ModelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
