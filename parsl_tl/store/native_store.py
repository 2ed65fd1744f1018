"""The store that C++ implements: what the engine and the client of servers have in common."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture.keras_state import check_graph
from parsl_tl.errors import InvalidValueError
from parsl_tl.store.arrow_table import table_of
from parsl_tl.store.model_id import check_model_id, format_model_id
from parsl_tl.store.model_store import (
    Arrays,
    CompactReport,
    FoundDonors,
    Match,
    ModelStore,
    PutResult,
    ScoreBy,
    VerifyReport,
    Weights,
)
from parsl_tl.store.query_options import class_weights, query_options
from parsl_tl.store.tensors import dtype_name, to_bytes
from parsl_tl.store.weighted_layers import weighted_layers

if TYPE_CHECKING:
    import pyarrow as pa

    from parsl_tl.architecture import ArchitectureGraph


class NativeStore(ModelStore):
    """A store over one of the C++ classes, which offer the same calls.

    Args:
        engine: ``native.Engine`` or ``native.RemoteStore``.
    """

    uri: str

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def _pass_on_warnings(self) -> None:
        """Hands on what the engine has to say about what it repaired."""

    def put(  # type: ignore[override]
        self,
        model_id: int,
        graph: ArchitectureGraph,
        weights: Weights,
        *,
        quality: float,
        parent: int | None = None,
        donor: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> PutResult | Future[PutResult]:
        """See ``ModelStore.put``."""
        request = self._request(model_id, graph, weights, quality, parent, donor, attributes)
        if wait:
            return self._put(request)
        return self._background().submit(self._put, request)

    def _request(
        self,
        model_id: int,
        graph: ArchitectureGraph,
        weights: Weights,
        quality: float,
        parent: int | None,
        donor: int | None,
        attributes: Mapping[str, Any] | None,
    ) -> tuple[Any, ...]:
        """Checks a put, and gives it as the native call takes it."""
        check_graph(graph)
        names = graph.layer_names
        index = {name: i for i, name in enumerate(names)}
        unknown = [name for name in weights if name not in index]
        if unknown:
            raise InvalidValueError(
                f"weights for {unknown[0]!r}, which is no layer of the architecture; "
                "use the stable names of graph.layer_names"
            )
        tensors = []
        for name, arrays in weights.items():
            for given in arrays:
                array = np.asarray(given)
                tensors.append((index[name], dtype_name(array.dtype), array.shape, to_bytes(array)))
        return (
            check_model_id(model_id),
            float(quality),
            None if parent is None else check_model_id(parent),
            None if donor is None else check_model_id(donor),
            graph.layer_keys,
            names,
            graph.edges.reshape(-1),
            graph.to_json(),
            _to_json(attributes or {}),
            tensors,
            weighted_layers(graph),
        )

    def _put(self, request: tuple[Any, ...]) -> PutResult:
        *stated, tensors, weighted = request
        parent, donor = stated[2:4]
        # Who shares with nobody may store as little as they like; the result lists what is missing.
        is_alone = parent is None and donor is None
        result = self._engine.put(*stated, tensors, None if is_alone else weighted)
        self._pass_on_warnings()
        given = {layer for layer, *_ in tensors}
        names = stated[5]
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

    def find_donor(
        self,
        graph: ArchitectureGraph,
        *,
        by: ScoreBy = "layers",
        quality_rate: float = 0.0,
        min_quality: float | None = None,
        exclude: Collection[int] = (),
    ) -> Match | None:
        """See ``ModelStore.find_donor``."""
        how = query_options(by, quality_rate, min_quality, exclude)
        pinned = self._engine.find_donor(graph.layer_keys, class_weights([graph], by), **how)
        if pinned is None:
            return None
        num_bytes: dict[int, int] = pinned.layer_bytes()
        common = [
            (name, num_bytes[key])
            for name, key in zip(graph.layer_names, graph.layer_keys.tolist(), strict=True)
            if key in num_bytes
        ]
        return Match(
            model_id=pinned.model_id,
            layer_names=[name for name, _ in common],
            num_bytes=sum(size for _, size in common),
            quality=pinned.quality,
            _pinned=pinned,
        )

    def find_donors(
        self,
        graphs: Sequence[ArchitectureGraph],
        *,
        by: ScoreBy = "layers",
        quality_rate: float = 0.0,
        min_quality: float | None = None,
        exclude: Collection[int] = (),
        threads: int | None = None,
    ) -> FoundDonors:
        """See ``ModelStore.find_donors``."""
        keys = [graph.layer_keys for graph in graphs]
        starts = np.cumsum([0, *(len(own) for own in keys)], dtype=np.int64)
        flat = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        how = query_options(by, quality_rate, min_quality, exclude)
        count = threads if threads is not None else len(os.sched_getaffinity(0))
        if count < 1:
            raise InvalidValueError(f"threads={threads!r} must be at least 1")
        weights = class_weights(graphs, by)
        return FoundDonors(*self._engine.find_donors(flat, starts, weights, **how, threads=count))

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

        Raises:
            InvalidValueError: arrays that do not fit each other.
            ModelExistsError: an id was used before; the message tells how many were stored.
        """
        ids = np.asarray(model_ids, np.uint64)
        given = np.asarray(parents if parents is not None else np.full(len(ids), -1))
        wrong = (given < -1) | (given >= len(ids))
        if given.shape != ids.shape or wrong.any():
            raise InvalidValueError(
                f"parents holds {given[wrong][0] if wrong.any() else f'{given.shape} values'}; "
                f"one position from 0 to {len(ids) - 1}, or -1, is needed for each model"
            )
        has_parent = given >= 0
        self._engine.put_architectures(
            ids,
            qualities,
            np.where(has_parent, ids[given], 0) if len(ids) else ids,
            has_parent,
            layer_starts,
            prefix_hashes,
            class_ids,
            list(class_names),
            edge_starts,
            np.asarray(edges, np.uint32).reshape(-1),
        )
        self._pass_on_warnings()

    def read(
        self,
        model_id: int,
        layer_names: Collection[str] | None = None,
        *,
        out: Weights | None = None,
    ) -> dict[str, Arrays]:
        """See ``ModelStore.read``."""
        pinned = self._engine.pin(check_model_id(model_id))
        names = None if layer_names is None else list(layer_names)
        if out is not None:
            return _read_into(pinned, names, out)
        views: dict[str, Arrays] = pinned.views(names)
        return views

    def shapes(
        self, model_id: int, layer_names: Collection[str] | None = None
    ) -> dict[str, list[tuple[tuple[int, ...], str]]]:
        """See ``ModelStore.shapes``."""
        pinned = self._engine.pin(check_model_id(model_id))
        found = {
            name: [(shape, dtype) for dtype, shape in tensors]
            for name, _, _, _, tensors in pinned.layers()
        }
        if layer_names is None:
            return {name: tensors for name, tensors in found.items() if tensors}
        missing = [name for name in layer_names if name not in found]
        if missing:
            raise InvalidValueError(
                f"model {format_model_id(pinned.model_id)} has no layer {missing[0]!r}; "
                "store.composition(model_id) lists its layers"
            )
        return {name: found[name] for name in layer_names}

    def composition(self, model_id: int) -> dict[str, int]:
        """See ``ModelStore.composition``."""
        layers = self._engine.model(check_model_id(model_id))["layers"]
        return {name: owner for name, _, owner in layers}

    def lineage(self, model_id: int) -> list[int]:
        """See ``ModelStore.lineage``."""
        return list(self._engine.ancestors(check_model_id(model_id)))

    def descendants(self, model_id: int) -> list[int]:
        """See ``ModelStore.descendants``."""
        return list(self._engine.descendants(check_model_id(model_id)))

    def retire(self, model_id: int) -> int:
        """See ``ModelStore.retire``."""
        return int(self._engine.retire(check_model_id(model_id)))

    def reference_count(self, owner: int, layer_name: str) -> int:
        """See ``ModelStore.reference_count``."""
        from parsl_tl.architecture import layer_key

        return int(self._engine.reference_count(check_model_id(owner), layer_key(layer_name)))

    def graph(self, model_id: int) -> ArchitectureGraph:
        """See ``ModelStore.graph``."""
        from parsl_tl.architecture import ArchitectureGraph

        return ArchitectureGraph.from_json(self._engine.architecture(check_model_id(model_id)))

    def info(self, model_id: int) -> dict[str, Any]:
        """See ``ModelStore.info``."""
        info: dict[str, Any] = self._engine.model(check_model_id(model_id))
        info["layers"] = [name for name, _, _ in info["layers"]]
        info["attributes"] = json.loads(info["attributes"])
        return info

    def models(self) -> pa.Table:
        """See ``ModelStore.models``."""
        return table_of(self._engine.models())

    def stats(self) -> dict[str, int]:
        """See ``ModelStore.stats``."""
        return dict(self._engine.stats())

    def compact(self) -> CompactReport:
        """See ``ModelStore.compact``."""
        report = self._engine.compact()
        return CompactReport(report.segments_rewritten, report.bytes_freed)

    def fold(self) -> None:
        """Writes a snapshot of the catalog now, so that the next opening has nothing to replay.

        The engine does so by itself, in the background, whenever enough has changed.
        """
        self._engine.fold()
        self._pass_on_warnings()

    def verify(self) -> VerifyReport:
        """See ``ModelStore.verify``."""
        report = self._engine.verify()
        return VerifyReport(report.models, report.tensors, report.bytes, list(report.problems))

    def __contains__(self, model_id: object) -> bool:
        try:
            return bool(self._engine.contains(check_model_id(model_id)))  # type: ignore[arg-type]
        except InvalidValueError:
            return False  # what cannot be an id is in no store

    def __len__(self) -> int:
        return int(self._engine.num_models())

    def close(self) -> None:
        """See ``ModelStore.close``."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True)
        self._engine.close()


def _to_json(attributes: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(attributes))
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            f"attributes must be what JSON can hold ({error}): {attributes!r}"
        ) from error


def _read_into(pinned: Any, names: list[str] | None, out: Weights) -> dict[str, Arrays]:
    """Copies layers into the caller's arrays, none of which is touched unless all fit."""
    targets: dict[str, Arrays] = {}
    for name, stored in pinned.types(names):
        targets[name] = list(out.get(name, ()))
        given = [(target.dtype, target.shape) for target in targets[name]]
        if stored != given:
            raise InvalidValueError(
                f"out[{name!r}] holds {_show(given)}, but the stored arrays are {_show(stored)}; "
                "store.shapes(model_id) tells what to allocate"
            )
        if not all(target.flags.writeable for target in targets[name]):
            raise InvalidValueError(f"out[{name!r}] holds a read-only array; give one to write to")
    direct: list[str] = []
    others: list[str] = []
    for name, arrays in targets.items():
        contiguous = all(array.flags.c_contiguous for array in arrays)
        (direct if contiguous else others).append(name)
    memory = [[array.reshape(-1).view(np.uint8) for array in targets[name]] for name in direct]
    pinned.copy_into(direct, memory)
    for name, views in pinned.views(others).items():
        for view, target in zip(views, targets[name], strict=True):
            np.copyto(target, view)
    return targets


def _show(types: list[tuple[np.dtype[Any], tuple[int, ...]]]) -> str:
    return str([f"{dtype.name}{list(shape)}" for dtype, shape in types])
