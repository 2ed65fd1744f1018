"""The parts of an architecture graph: layers, their calls, and the tensors between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple


class TensorRef(NamedTuple):
    """Which tensor: output ``tensor`` of call ``call`` of the layer at index ``layer``."""

    layer: int
    call: int
    tensor: int


@dataclass(frozen=True)
class Call:
    """One use of a layer.

    Attributes:
        inputs: the tensors that go in, in the order in which they stand in the arguments.
        node: the arguments as in Keras JSON (``{"args": [...], "kwargs": {...}}``); the
            ``keras_history`` of tensors in it is replaced when the graph is written.
    """

    inputs: tuple[TensorRef, ...]
    node: Mapping[str, Any]


@dataclass(frozen=True)
class Layer:
    """A layer: what it computes, and where it is called.

    Attributes:
        name: the name it was given; it has no meaning and does not count in any hash.
        class_name: the Keras class, such as ``Dense``.
        config: what ``keras.Layer.get_config`` gives.
        calls: one for each use; an input layer has none.
        module: where Keras finds the class (``keras.layers``), or None for a registered one.
        registered_name: the name of a class registered with Keras, or None.
        build_config: what Keras needs to create the weights; follows from the inputs.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    calls: tuple[Call, ...]
    module: str | None = "keras.layers"
    registered_name: str | None = None
    build_config: Mapping[str, Any] | None = None

    @property
    def is_input(self) -> bool:
        """True for an input of the model."""
        return self.class_name == "InputLayer"

    def with_calls(self, calls: Iterable[Call]) -> Layer:
        """Returns the same layer with other calls."""
        return replace(self, calls=tuple(calls))
