"""Keras JSON, one model per line, into flat arrays: several times as fast as graph by graph."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.architecture.canonical_order import FlatCalls, canonical_order, reorder_calls
from parsl_tl.architecture.prefix import hash_calls
from parsl_tl.architecture.unused_layers import all_calls_are_used
from parsl_tl.graph_meta.graph_batch import GraphBatch
from parsl_tl.graph_meta.parse_cache import KnownCalls, KnownLayer, ParseCache, UnknownFormError
from parsl_tl.native import native

_NODES: Final = b'"inbound_nodes": '
_LAYERS: Final = b'"layers": ['
_NEXT: Final = b"]}, {"
_FOOT: Final = b']}], "input_layers": '


_Ref = tuple[int, int, int]  # (layer, call, tensor)


class _Layer(NamedTuple):
    """A layer of the line that is being read."""

    known: KnownLayer
    calls: KnownCalls
    refs: list[_Ref]


class _Model(NamedTuple):
    layers: list[_Layer]
    inputs: list[int]
    outputs: list[_Ref]


class LineParser:
    """Collects models line by line; ``take`` gives those since the last time."""

    def __init__(self) -> None:
        self._texts = (ParseCache(keras2=False), ParseCache(keras2=True))
        self._clear()

    def __len__(self) -> int:
        return len(self._layer_starts) - 1

    def add(self, line: bytes) -> None:
        """Reads a model.

        Args:
            line: Keras JSON (2 or 3).

        Raises:
            ArchitectureError: it is no model's; nothing was added.
        """
        keras2 = b'"batch_input_shape": ' in line[: line.find(_NODES) + 1]
        try:
            model = _read_model(line, self._texts[keras2])
        except UnknownFormError:
            self._add_graph(ArchitectureGraph.from_json(line))
        else:
            self._add_model(model, self._texts[keras2])

    def take(self, ids: NDArray[np.uint64]) -> GraphBatch:
        """Returns the models that were added since the last call, and forgets them.

        Args:
            ids: one per model.
        """
        listed = FlatCalls(
            np.array(self._layer_starts, np.int64),
            np.array(self._call_starts, np.int64),
            np.array(self._input_starts, np.int64),
            np.array(self._inputs, np.uint32).reshape(-1, 3),
        )
        order = canonical_order(listed, self._output_starts, self._outputs)
        flat = listed if order.is_kept else reorder_calls(listed, order)
        hashes = hash_calls(
            flat,
            np.array(self._digests, np.uint64)[order.layers],
            np.array(self._call_digests, np.uint64)[order.calls],
        )
        first_inputs = flat.input_starts[flat.call_starts]  # of each layer
        numbers = np.arange(len(hashes)) - np.repeat(
            flat.layer_starts[:-1], np.diff(flat.layer_starts)
        )
        targets = np.repeat(numbers, np.diff(first_inputs)).astype(np.uint32)
        batch = GraphBatch(
            ids,
            np.zeros(len(ids)),
            flat.layer_starts,
            native.layer_keys(flat.layer_starts, hashes),
            np.array(self._walk_digests, np.uint64)[order.layers],
            first_inputs[flat.layer_starts],
            np.stack([flat.inputs[:, 0], targets], axis=1),
        )
        self._clear()
        return batch

    def _clear(self) -> None:
        self._layer_starts, self._output_starts = [0], [0]
        self._call_starts, self._input_starts = [0], [0]
        self._digests: list[int] = []
        self._walk_digests: list[int] = []
        self._call_digests: list[int] = []
        self._inputs: list[_Ref] = []
        self._outputs: list[_Ref] = []

    def _add_model(self, model: _Model, texts: ParseCache) -> None:
        position = {layer: number for number, layer in enumerate(model.inputs)}
        for index, layer in enumerate(model.layers):
            if layer.known.is_input:
                self._add_layer(layer.known.input_digest(position[index]), (), (), [])
                self._walk_digests.append(self._digests[-1])
            else:
                calls, digest = layer.calls, layer.known.digest
                self._add_layer(digest, calls.digests, calls.counts, layer.refs)
                self._walk_digests.append(texts.walk_digest(digest, calls))
        self._end_model(model.outputs)

    def _add_graph(self, graph: ArchitectureGraph) -> None:
        digests = zip(graph.layer_digests, graph.call_digests, strict=True)
        for layer, (digest, own) in zip(graph.layers, digests, strict=True):
            counts = tuple(len(call.inputs) for call in layer.calls)
            refs: list[_Ref] = [ref for call in layer.calls for ref in call.inputs]
            self._add_layer(digest, tuple(own), counts, refs)
            known = KnownCalls(tuple(own), counts)
            self._walk_digests.append(
                digest if layer.is_input else self._texts[0].walk_digest(digest, known)
            )
        self._end_model(graph.outputs)

    def _add_layer(
        self,
        digest: int,
        call_digests: tuple[int, ...],
        counts: tuple[int, ...],
        refs: list[_Ref],
    ) -> None:
        self._digests.append(digest)
        # An input has one call without inputs: the tensor that it gives.
        self._call_digests += call_digests or (0,)
        for count in counts or (0,):
            self._input_starts.append(self._input_starts[-1] + count)
        self._call_starts.append(len(self._call_digests))
        self._inputs += refs

    def _end_model(self, outputs: Sequence[_Ref]) -> None:
        self._layer_starts.append(len(self._digests))
        self._outputs += outputs
        self._output_starts.append(len(self._outputs))


def _read_model(line: bytes, texts: ParseCache) -> _Model:
    """Cuts a line into layers.

    Raises:
        UnknownFormError: it is written in another way, its layers are in no topological order, or
            something is wrong with it.
    """
    head, *pieces = line.split(_NODES)
    head, opened, entry = head.partition(_LAYERS + b"{")
    index: dict[bytes, int] = {}
    num_calls: list[int] = []
    layers: list[_Layer] = []
    for number, piece in enumerate(pieces, 1):
        name, known = texts.layer(entry)
        nodes, found, rest = piece.partition(_FOOT if number == len(pieces) else _NEXT)
        if not found or not opened or name in index:
            raise UnknownFormError
        calls, parts = texts.calls(known.class_name, nodes + b"]")
        refs = []
        for source, call, tensor in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            place, which = index.get(source), int(call)
            if place is None or which >= num_calls[place]:
                raise UnknownFormError
            refs.append((place, which, int(tensor)))
        if known.is_input == bool(refs) or (known.is_input and calls.counts):
            raise UnknownFormError
        index[name] = len(layers)
        num_calls.append(1 if known.is_input else len(calls.counts))
        layers.append(_Layer(known, calls, refs))
        entry = rest
    inputs, outputs = _read_foot(head, entry, index, num_calls, layers)
    return _Model(layers, inputs, outputs)


def _read_foot(
    head: bytes,
    foot: bytes,
    index: dict[bytes, int],
    num_calls: list[int],
    layers: list[_Layer],
) -> tuple[list[int], list[_Ref]]:
    """Checks what stands around the layers, and returns input layers and output tensors."""
    try:
        document = json.loads(head + b'"layers": [], "input_layers": ' + foot)
        bare = "class_name" not in document  # what get_config gives
        config = document if bare else document["config"]
        inputs = [index[_history(item)[0].encode()] for item in _histories(config["input_layers"])]
        outputs = []
        for name, call, tensor in map(_history, _histories(config["output_layers"])):
            layer = index[name.encode()]
            if not (0 <= call < num_calls[layer] and 0 <= tensor < 1 << 16):
                raise UnknownFormError
            outputs.append((layer, call, tensor))
        kind = "Functional" if bare else document["class_name"]
        if kind not in ("Functional", "Model") or not outputs:
            raise UnknownFormError
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UnknownFormError from None
    own = [number for number, layer in enumerate(layers) if layer.known.is_input]
    # With one input, every layer follows it; with more, they may lead to graphs apart.
    if sorted(inputs) != own or not own or (len(own) > 1 and not _is_connected(layers)):
        raise UnknownFormError
    refs = [ref for layer in layers for ref in layer.refs]
    if not all_calls_are_used(sum(num_calls), refs + outputs):
        raise UnknownFormError
    return inputs, outputs


def _histories(value: list[object]) -> list[object]:
    return [value] if len(value) == 3 and isinstance(value[0], str) else value


def _history(value: object) -> tuple[str, int, int]:
    if not isinstance(value, list) or [type(item) for item in value] != [str, int, int]:
        raise UnknownFormError
    return value[0], value[1], value[2]


def _is_connected(layers: list[_Layer]) -> bool:
    part = list(range(len(layers)))

    def root(layer: int) -> int:
        while part[layer] != layer:
            part[layer] = layer = part[part[layer]]
        return layer

    for target, layer in enumerate(layers):
        for source, _, _ in layer.refs:
            part[root(source)] = root(target)
    return len({root(layer) for layer in part}) == 1
