"""Builds graphs layer by layer, without Keras: what search spaces use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parsl_tl.architecture.classes import keras_tensor
from parsl_tl.architecture.graph import ArchitectureGraph
from parsl_tl.architecture.layer import Call, Layer, TensorRef
from parsl_tl.errors import ArchitectureError


@dataclass(frozen=True)
class Tensor:
    """A tensor in a graph that is being built.

    Attributes:
        ref: where it comes from.
        shape: without the batch dimension.
    """

    ref: TensorRef
    shape: tuple[int, ...]


class GraphBuilder:
    """Collects layers and calls; ``build`` gives the validated graph.

    Configs are taken as they are, so they must be the full ones that Keras' ``get_config`` gives:
    only then do graphs that were built here and graphs of Keras models have equal hashes.
    """

    def __init__(self) -> None:
        self._layers: list[Layer] = []
        self._inputs: list[int] = []

    def input(self, shape: Sequence[int], dtype: str = "float32") -> Tensor:
        """Adds an input of the model.

        Args:
            shape: without the batch dimension.
            dtype: the dtype of what is fed.
        """
        name = f"input_{len(self._inputs)}"
        config = {
            "batch_shape": [None, *shape],
            "dtype": dtype,
            "sparse": False,
            "ragged": False,
            "name": name,
            "optional": False,
        }
        self._inputs.append(len(self._layers))
        self._layers.append(Layer(name, "InputLayer", config, ()))
        return Tensor(TensorRef(len(self._layers) - 1, 0, 0), tuple(shape))

    def add(
        self,
        class_name: str,
        config: Mapping[str, Any],
        inputs: Tensor | Sequence[Tensor],
        output_shape: Sequence[int],
        *,
        has_build_config: bool = True,
    ) -> Tensor:
        """Adds a layer and calls it once.

        Args:
            class_name: a class of ``keras.layers``.
            config: its full config, without ``name``.
            inputs: one tensor, or several that go in as one list.
            output_shape: without the batch dimension.
            has_build_config: False for layers that Keras builds without a shape (Activation).

        Returns:
            The layer's output.
        """
        single = isinstance(inputs, Tensor)
        sources = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if not sources:
            raise ArchitectureError(f"a {class_name} layer without inputs")
        tensors = [
            keras_tensor(self._layers[s.ref.layer].name, s.ref.call, s.ref.tensor, [None, *s.shape])
            for s in sources
        ]
        shapes = [[None, *s.shape] for s in sources]
        name = f"{class_name}_{len(self._layers)}"
        node: dict[str, Any] = {"args": tensors if single else [tensors], "kwargs": {}}
        self._layers.append(
            Layer(
                name,
                class_name,
                {"name": name, **config},
                (Call(tuple(s.ref for s in sources), node),),
                build_config=(
                    {"input_shape": shapes[0] if single else shapes} if has_build_config else None
                ),
            )
        )
        return Tensor(TensorRef(len(self._layers) - 1, 0, 0), tuple(output_shape))

    def build(self, outputs: Tensor | Sequence[Tensor]) -> ArchitectureGraph:
        """Returns the graph.

        Raises:
            ArchitectureError: see ``ArchitectureGraph``.
        """
        refs = [outputs.ref] if isinstance(outputs, Tensor) else [t.ref for t in outputs]
        return ArchitectureGraph(self._layers, self._inputs, refs)
