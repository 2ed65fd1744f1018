"""Layers and calls as they stand in Keras JSON, remembered by their text.

A population is made of few different layers, told apart by their names alone. So a layer's text
with its name cut out is parsed once, and so is the text of its calls with the tensors cut out. What
does not have the form that Keras writes raises ``UnknownFormError``: the whole line is then read
with ``ArchitectureGraph.from_json``, which decides what it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from parsl_tl.architecture.canonical import (
    lacks_rank,
    layer_digest,
    node_digest,
)
from parsl_tl.architecture.classes import is_network, placed, tensors_of
from parsl_tl.architecture.function_code import has_unknown
from parsl_tl.architecture.keras2_json import upgrade_layer
from parsl_tl.architecture.keras2_nodes import upgrade_nodes
from parsl_tl.architecture.layer import Layer
from parsl_tl.architecture.masks import makes_mask
from parsl_tl.errors import ArchitectureError
from parsl_tl.native import native

# Exactly what Keras writes: what is cut out here is never parsed.
_NAME: Final = rb'"([^"\\\x00-\x1f]*)"'
_INTEGER: Final = rb"(0|[1-9]\d{0,3})"
_SHAPE: Final = rb"\[(?:(?:null|[1-9]\d*)(?:, (?:null|[1-9]\d*))*)?\]"
_TENSOR3: Final = re.compile(
    rb'\{"class_name": "__keras_tensor__", "config": \{"shape": ' + _SHAPE + rb', "dtype": "\w*", '
    rb'"keras_history": \[' + _NAME + rb", " + _INTEGER + rb", " + _INTEGER + rb"\]\}\}"
)
_TENSOR2: Final = re.compile(rb"\[" + _NAME + rb", " + _INTEGER + rb", " + _INTEGER + rb", \{\}\]")
_PLAIN_NAME: Final = re.compile(rb"[ !#-\[\]-~]*")
# Stands for a tensor in the text of calls: a character that no JSON can hold there.
_MARK: Final = b"\x01"
_ANY_TENSOR3: Final = (
    b'{"class_name": "__keras_tensor__", "config": {"keras_history": ["\\u0001", 0, 0]}}'
)
_ANY_TENSOR2: Final = b'["\\u0001", 0, 0, {}]'
# Texts that are kept; a space of more layers is parsed again now and then.
_MOST_TEXTS: Final = 200_000


class UnknownFormError(Exception):
    """The text is not written as Keras writes it; another reader has to decide."""


@dataclass
class KnownLayer:
    """A layer by itself.

    Attributes:
        class_name: the Keras class, as it was written.
        digest: of the layer, unless it is an input.
        entry: what it was parsed from, in Keras 3 form.
        input_digests: of an input layer, by its position among the inputs.
        is_input: True for an input of the model.
    """

    class_name: str
    digest: int
    entry: dict[str, Any]
    input_digests: dict[int, int] = field(default_factory=dict)
    is_input: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_input = self.class_name == "InputLayer"

    def input_digest(self, position: int) -> int:
        """Returns the digest of an input layer."""
        if position not in self.input_digests:
            self.input_digests[position] = _digest(self.entry, position)
        return self.input_digests[position]


@dataclass(frozen=True)
class KnownCalls:
    """The calls of a layer, without the tensors that go in.

    Attributes:
        digests: one per call.
        counts: number of tensors of each call.
    """

    digests: tuple[int, ...]
    counts: tuple[int, ...]


class ParseCache:
    """Remembers layers and calls.

    Args:
        keras2: whether the texts are of Keras 2.
    """

    def __init__(self, keras2: bool) -> None:
        self._keras2 = keras2
        self._pattern = _TENSOR2 if keras2 else _TENSOR3
        self._layers: dict[bytes, KnownLayer] = {}
        self._calls: dict[tuple[str, bytes], KnownCalls] = {}
        self._walk_digests: dict[tuple[int, tuple[int, ...]], int] = {}

    def layer(self, entry: bytes) -> tuple[bytes, KnownLayer]:
        """Reads a layer's entry up to its calls, without the brace that opens it.

        Returns:
            The layer's name, and the layer.

        Raises:
            UnknownFormError: see there.
        """
        at = entry.rfind(b'"name": "')
        name = entry[at + 9 : -3]
        if at < 0 or entry[-3:] != b'", ' or not _PLAIN_NAME.fullmatch(name):
            raise UnknownFormError
        own = b'"name": "' + name + b'"'
        # Names of other things count, if equal to this one or not: only the layer's own is cut.
        before, found, after = entry[:at].partition(b'"config": {' + own)
        if not found:
            if entry.count(b'"name": "', 0, at) != 1:
                raise UnknownFormError
            before, found, after = entry[:at].partition(own)
            if not found:
                raise UnknownFormError
        key = before + _MARK + after
        known = self._layers.get(key)
        if known is None:
            known = self._parse_layer(b"{" + entry + b'"inbound_nodes": []}')
            _keep(self._layers, key, known)
        return name, known

    def calls(self, class_name: str, nodes: bytes) -> tuple[KnownCalls, list[bytes]]:
        """Reads the calls of a layer.

        Returns:
            The calls, and what goes in: layer name, call and tensor, one after the other.

        Raises:
            UnknownFormError: see there.
        """
        parts = self._pattern.split(nodes)
        form = _MARK.join(parts[::4])
        key = (class_name, form)
        known = self._calls.get(key)
        if known is None:
            known = self._parse_calls(class_name, form, len(parts) // 4)
            _keep(self._calls, key, known)
        del parts[::4]
        return known, parts

    def walk_digest(self, digest: int, calls: KnownCalls) -> int:
        """Returns the digest of a layer together with the form of its calls."""
        key = (digest, calls.digests)
        known = self._walk_digests.get(key)
        if known is None:
            words = np.array([digest, *calls.digests], np.uint64)
            known = int(native.combine(words))
            _keep(self._walk_digests, key, known)
        return known

    def _parse_layer(self, text: bytes) -> KnownLayer:
        try:
            written = json.loads(text)
            entry = upgrade_layer(written) if self._keras2 else written
            config = entry["config"]
            if is_network(written["class_name"], config) or config["name"] != written["name"]:
                raise UnknownFormError
            if lacks_rank(_layer(entry)):  # its calls, or the layers before it, may tell
                raise UnknownFormError
            if has_unknown(entry) or (self._keras2 and makes_mask(_layer(entry))):
                raise UnknownFormError
            if entry["class_name"] in ("TFOpLambda", "SlicingOpLambda"):
                raise UnknownFormError
            digest = 0 if entry["class_name"] == "InputLayer" else _digest(entry, None)
            return KnownLayer(entry["class_name"], digest, entry)
        except (ValueError, LookupError, TypeError, AttributeError, ArchitectureError):
            raise UnknownFormError from None

    def _parse_calls(self, class_name: str, form: bytes, num_tensors: int) -> KnownCalls:
        try:
            text = form.replace(_MARK, _ANY_TENSOR2 if self._keras2 else _ANY_TENSOR3)
            nodes = json.loads(text)
            if self._keras2:
                nodes = upgrade_nodes(class_name, nodes)
            counts = tuple(_count_tensors(node) for node in nodes)
            digests = tuple(node_digest(node) for node in nodes)
            if any(placed(class_name, node) != node for node in nodes):
                raise UnknownFormError
            if has_unknown(nodes) or not all(map(_has_plain_order, nodes)):
                raise UnknownFormError
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UnknownFormError from None
        # Tensors that are written in another way were not cut out.
        if sum(counts) != num_tensors or form.count(_MARK) != num_tensors:
            raise UnknownFormError
        return KnownCalls(digests, counts)


def _layer(entry: dict[str, Any]) -> Layer:
    return Layer(
        entry["name"],
        entry["class_name"],
        entry["config"],
        (),
        entry.get("module"),
        entry.get("registered_name"),
        entry.get("build_config"),
    )


def _digest(entry: dict[str, Any], position: int | None) -> int:
    return layer_digest(_layer(entry), position)


def _count_tensors(node: dict[str, Any]) -> int:
    return sum(1 for _ in tensors_of(node))


def _has_plain_order(value: Any) -> bool:
    """Returns whether tensors stand in the text in the order in which they are collected."""
    if isinstance(value, dict):
        holding = [key for key, item in value.items() if any(True for _ in tensors_of(item))]
        return holding == sorted(holding) and all(map(_has_plain_order, value.values()))
    return not isinstance(value, list) or all(map(_has_plain_order, value))


def _keep(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _MOST_TEXTS:
        known.clear()
    known[key] = value
