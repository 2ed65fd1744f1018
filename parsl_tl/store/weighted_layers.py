"""Which layers of an architecture have weights, as far as that is known without a framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph

_WEIGHTED: Final = frozenset(
    [
        "BatchNormalization",
        "Bidirectional",
        "Conv1D",
        "Conv1DTranspose",
        "Conv2D",
        "Conv2DTranspose",
        "Conv3D",
        "Conv3DTranspose",
        "ConvLSTM1D",
        "ConvLSTM2D",
        "ConvLSTM3D",
        "Convolution1D",
        "Convolution2D",
        "Convolution3D",
        "Dense",
        "DepthwiseConv1D",
        "DepthwiseConv2D",
        "EinsumDense",
        "Embedding",
        "GRU",
        "GroupQueryAttention",
        "LSTM",
        "MultiHeadAttention",
        "PReLU",
        "SeparableConv1D",
        "SeparableConv2D",
        "SimpleRNN",
        "SpectralNormalization",
    ]
)
"""Classes of Keras whose layers have weights whatever their configuration."""

_WEIGHTLESS: Final = frozenset(
    [
        "Activation",
        "ActivityRegularization",
        "Add",
        "AlphaDropout",
        "Average",
        "AveragePooling1D",
        "AveragePooling2D",
        "AveragePooling3D",
        "Concatenate",
        "Cropping1D",
        "Cropping2D",
        "Cropping3D",
        "Dot",
        "Dropout",
        "ELU",
        "Flatten",
        "GaussianDropout",
        "GaussianNoise",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalAveragePooling3D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "GlobalMaxPooling3D",
        "Identity",
        "InputLayer",
        "LeakyReLU",
        "Masking",
        "MaxPooling1D",
        "MaxPooling2D",
        "MaxPooling3D",
        "Maximum",
        "Minimum",
        "Multiply",
        "Permute",
        "ReLU",
        "RepeatVector",
        "Rescaling",
        "Reshape",
        "Resizing",
        "Softmax",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "Subtract",
        "UpSampling1D",
        "UpSampling2D",
        "UpSampling3D",
        "ZeroPadding1D",
        "ZeroPadding2D",
        "ZeroPadding3D",
    ]
)


def weighted_layers(graph: ArchitectureGraph) -> tuple[list[int], list[int]]:
    """Returns the indices of layers that have weights for certain, and of such as may have some.

    The latter are of classes outside Keras, or depend on their configuration. Whether they have
    weights, other models tell that a store holds.
    """
    certain: list[int] = []
    possible: list[int] = []
    for index, layer in enumerate(graph.layers):
        is_keras = layer.module is not None and layer.module.split(".")[0] == "keras"
        if is_keras and layer.class_name in _WEIGHTED:
            certain.append(index)
        elif not (is_keras and layer.class_name in _WEIGHTLESS):
            possible.append(index)
    return certain, possible
