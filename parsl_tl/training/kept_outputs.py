"""Outputs of frozen prefixes that the processes of a node share, tensor by tensor.

A tensor is known by all that it follows from: the configurations of the layers on the way to it,
the very numbers of their weights, the data, and how many rows are computed at a time, on which
rounding depends. So it does not matter whose the weights are or where they came from: equal weights
give equal outputs, and a layer that was trained meanwhile gives others.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from parsl_tl.architecture.keras_weights import variables_of
from parsl_tl.problems import Problem
from parsl_tl.problems.array_cache import NamedArrays
from parsl_tl.problems.data import Array
from parsl_tl.problems.node_cache import NodeCache

logger = logging.getLogger(__name__)

_NAME: Final = "outputs"


class KeptOutputs:
    """Outputs of prefixes for one part of a problem's data.

    Args:
        cache: of the node.
        problem: whose data it is.
        part: of the data.

    Attributes:
        all_found: whether all that was asked for was there; True before anything is.
    """

    def __init__(self, cache: NodeCache, problem: Problem, part: str) -> None:
        self._cache = cache
        self._data = [problem.name, dict(problem.arguments), problem.fingerprint(), part]
        self.all_found = True

    def names(
        self, inputs: Sequence[Any], calls: Iterable[Any], wanted: Iterable[Any], step: int
    ) -> list[str | None]:
        """Returns what tensors are kept under; None for one that nobody could tell from another.

        Args:
            inputs: symbolic tensors that the model takes in.
            calls: of layers, as Keras has them, each after those that it depends on.
            wanted: symbolic tensors that they give.
            step: rows that are computed at a time.
        """
        known = _digests(inputs, calls)
        common = json.dumps([self._data, step, _versions()], sort_keys=True, default=str)
        return [
            None
            if (digest := known.get(id(tensor))) is None
            else hashlib.blake2b(f"{common}{digest}".encode(), digest_size=16).hexdigest()
            for tensor in wanted
        ]

    def find(self, name: str | None, rows: int) -> Array | None:
        """Returns a tensor's values for all rows of the data; None if they are not there."""
        kept = None if name is None else self._cache.find(name)
        array = None if kept is None else kept.get(_NAME)
        if array is None or len(array) != rows:
            self.all_found = False
            return None
        return array

    def keep(self, name: str | None, array: Array) -> Array:
        """Keeps a tensor's values, if there is room for them; returns them."""
        if name is None:
            return array
        return self._cache.keep(name, NamedArrays({_NAME: array}))[_NAME]


def _versions() -> list[str]:
    import keras

    return [keras.__version__, keras.backend.backend(), keras.backend.floatx()]


def _digests(inputs: Sequence[Any], calls: Iterable[Any]) -> dict[int, str]:
    """Returns what each tensor follows from, by ``id``; nothing for those that cannot be told."""
    known = {id(tensor): f"input {number}" for number, tensor in enumerate(inputs)}
    layers: dict[int, str | None] = {}
    for call in calls:
        operation = call.operation
        if id(operation) not in layers:
            layers[id(operation)] = _operation_digest(operation)
        own, arguments = layers[id(operation)], _arguments(call.arguments, known)
        if own is None or arguments is None:
            continue
        for number, tensor in enumerate(call.outputs):
            text = f"{own} {arguments} {number} {tensor.shape} {tensor.dtype}"
            known[id(tensor)] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return known


def _operation_digest(operation: Any) -> str | None:
    """Says in a digest what an operation computes; None if its configuration does not tell."""
    import keras

    try:
        said = dict(keras.saving.serialize_keras_object(operation))
        # Models of a search call equal layers differently.
        said["config"] = {key: one for key, one in said["config"].items() if key != "name"}
        text = json.dumps(said, sort_keys=True)
    except Exception:  # whatever a class without a configuration raises
        logger.debug("outputs of %s are not kept", operation, exc_info=True)
        return None
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    if hasattr(operation, "weights"):
        for variable in variables_of(operation):
            array = np.ascontiguousarray(variable.numpy())
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _arguments(arguments: Any, known: Mapping[int, str]) -> str | None:
    """Says what an operation is called with; None if that is more than tensors that are known."""
    import keras

    def told(value: Any) -> Any:
        if isinstance(value, keras.KerasTensor):
            return ["tensor", known[id(value)]]
        return value

    try:
        given = keras.tree.map_structure(told, [list(arguments.args), dict(arguments.kwargs)])
        return json.dumps(given, sort_keys=True)
    except (KeyError, TypeError, ValueError):
        return None
