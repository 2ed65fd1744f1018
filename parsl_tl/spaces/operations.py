"""What a node of a declared space can be: layers of Keras, by their arguments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.spaces import keras_layers
from parsl_tl.spaces.keras_layers import Sizes


class Operation(ABC):
    """Layers that are applied to a tensor.

    Attributes:
        label: says in a word or two what it is; different for different operations.
    """

    @property
    @abstractmethod
    def label(self) -> str:
        """Says in a word or two what it is."""

    @abstractmethod
    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """Adds the layers to a graph.

        Raises:
            ImpossibleArchitectureError: there is no such layer on a tensor of this shape.
        """


@dataclass(frozen=True)
class Identity(Operation):
    """No layer at all."""

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return "identity"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return tensor


@dataclass(frozen=True)
class Dense(Operation):
    """A dense layer, on the last axis."""

    units: int
    activation: str = "linear"

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return f"dense {self.units} {self.activation}"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.dense(builder, tensor, self.units, self.activation)


@dataclass(frozen=True)
class Conv(Operation):
    """A convolution: Conv1D on a series, Conv2D on an image, Conv3D on a volume."""

    filters: int
    kernel_size: Sizes
    activation: str = "linear"
    strides: Sizes = 1
    padding: str = "valid"
    use_bias: bool = True

    @property
    def label(self) -> str:
        """See ``Operation``."""
        kernel = f"conv {self.filters} kernel {_told(self.kernel_size)} {self.activation}"
        bias = "" if self.use_bias else " without bias"
        return f"{kernel}{_window(self.strides, 1, self.padding)}{bias}"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.convolution(
            builder,
            tensor,
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            activation=self.activation,
            use_bias=self.use_bias,
        )


@dataclass(frozen=True)
class MaxPooling(Operation):
    """A layer that takes the largest value of each window; strides are its size if not given."""

    pool_size: Sizes
    strides: Sizes | None = None
    padding: str = "valid"

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return f"max pool {_told(self.pool_size)}{_window(self.strides, None, self.padding)}"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.max_pooling(
            builder, tensor, self.pool_size, strides=self.strides, padding=self.padding
        )


@dataclass(frozen=True)
class AveragePooling(Operation):
    """A layer that takes the mean of each window; strides are its size if not given."""

    pool_size: Sizes
    strides: Sizes | None = None
    padding: str = "valid"

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return f"average pool {_told(self.pool_size)}{_window(self.strides, None, self.padding)}"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.average_pooling(
            builder, tensor, self.pool_size, strides=self.strides, padding=self.padding
        )


@dataclass(frozen=True)
class Dropout(Operation):
    """A layer that drops a share of the values in training."""

    rate: float

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return f"dropout {self.rate:g}"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.dropout(builder, tensor, self.rate)


@dataclass(frozen=True)
class Activation(Operation):
    """An activation as a layer of its own."""

    function: str

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return self.function

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.activation(builder, tensor, self.function)


@dataclass(frozen=True)
class BatchNormalization(Operation):
    """Normalization over a batch."""

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return "batch normalization"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.batch_normalization(builder, tensor)


@dataclass(frozen=True)
class Flatten(Operation):
    """Makes a vector."""

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return "flatten"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.flatten(builder, tensor)


@dataclass(frozen=True)
class GlobalAveragePooling(Operation):
    """Makes a vector of one mean for each channel."""

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return "global average pool"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.global_average_pooling(builder, tensor)


@dataclass(frozen=True)
class ZeroPadding(Operation):
    """Adds zeros before and after a series, or around an image."""

    before: int
    after: int

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return f"zero padding {self.before} {self.after}"

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        return keras_layers.zero_padding(builder, tensor, self.before, self.after)


@dataclass(frozen=True)
class Chain(Operation):
    """Several operations, one after the other."""

    operations: tuple[Operation, ...]

    @property
    def label(self) -> str:
        """See ``Operation``."""
        return ", ".join(operation.label for operation in self.operations)

    def apply(self, builder: GraphBuilder, tensor: Tensor) -> Tensor:
        """See ``Operation``."""
        for operation in self.operations:
            tensor = operation.apply(builder, tensor)
        return tensor


def _told(sizes: Sizes) -> str:
    return str(sizes) if isinstance(sizes, int) else "x".join(map(str, sizes))


def _window(strides: Sizes | None, usual: int | None, padding: str) -> str:
    told = "" if strides == usual or strides is None else f" strides {_told(strides)}"
    return told if padding == "valid" else f"{told} {padding}"


def labels_of(operations: Sequence[Operation]) -> tuple[str, ...]:
    """Returns the labels of operations, in their order."""
    return tuple(operation.label for operation in operations)
