"""The number of axes of what goes into layers, where no shape is written: Keras 2, up to 2.11."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from parsl_tl.architecture.classes import is_keras_class
from parsl_tl.architecture.layer import Layer

_SAME: Final = re.compile(
    r"Dense|EinsumDense|Activation|Softmax|\w*ReLU|ELU|Permute|Masking|Gaussian\w+|ActivityRegul\w+"
    r"|\w*Dropout\w*|\w+Normalization|(Depthwise|Separable)?Conv\d\w*|(Max|Average)Pooling\dD"
    r"|(ZeroPadding|Cropping|UpSampling)\dD|Add|Subtract|Multiply|Average|Maximum|Minimum"
    r"|Concatenate|MultiHeadAttention|Attention|AdditiveAttention"
)
_RECURRENT: Final = ("LSTM", "GRU", "SimpleRNN", "RNN")


def input_ranks(layers: Sequence[Layer]) -> list[int | None]:
    """Returns the rank of the first input of each layer, found from the model's inputs on.

    Args:
        layers: in topological order.

    Returns:
        One number per layer; None behind a layer that is not known here.
    """
    inputs: list[int | None] = []
    outputs: list[int | None] = []
    for number, layer in enumerate(layers):
        sources = [ref for call in layer.calls[:1] for ref in call.inputs]
        ranks = [outputs[ref.layer] if ref.layer < number else None for ref in sources]
        inputs.append(ranks[0] if ranks else None)
        known = [rank for rank in ranks if rank is not None]
        own = is_keras_class(layer.module, layer.registered_name)
        outputs.append(
            _output_rank(layer.class_name, layer.config, max(known, default=None))
            if own and len(known) == len(ranks)
            else None
        )
    return inputs


def _output_rank(class_name: str, config: Mapping[str, Any], rank: int | None) -> int | None:
    if class_name == "InputLayer":
        shape = config.get("batch_shape")
        return len(shape) if isinstance(shape, list) else None
    if rank is None:
        return None
    if class_name == "Embedding":
        return rank + 1
    if class_name == "Reshape" and isinstance(config.get("target_shape"), list):
        return len(config["target_shape"]) + 1
    if class_name == "Flatten":
        return 2
    if class_name == "RepeatVector":
        return 3
    if class_name.startswith("Global"):
        return rank if config.get("keepdims") else 2
    if class_name == "Bidirectional" and isinstance(config.get("layer"), Mapping):
        inner = config["layer"]
        return _output_rank(str(inner.get("class_name")), inner.get("config") or {}, rank)
    if class_name in _RECURRENT:
        return 3 if config.get("return_sequences") else 2
    return rank if _SAME.fullmatch(class_name) else None
