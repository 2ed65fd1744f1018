"""The kinds of transfer methods, and what a model is before and after."""

import pytest
from services import NEEDS_REDIS

from parsl_tl.transfer.weights import layers_with_weights, read_weights

FILES = ["hdf5", "keras", "safetensors"]
KINDS = ["store", *FILES, pytest.param("redis", marks=NEEDS_REDIS)]


def weights_of(model, graph):
    return {
        name: [array.tobytes() for array in arrays]
        for name, arrays in read_weights(layers_with_weights(model, graph)).items()
    }


def keep(method, model, graph, model_id, quality=0.5, **kwargs):
    names = list(layers_with_weights(model, graph))
    return method.store(model, graph, names, model_id=model_id, quality=quality, **kwargs)
