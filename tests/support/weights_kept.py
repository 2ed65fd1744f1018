"""Transfer methods that need no server, and a look at a model's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parsl_tl.transfer import Hdf5Transfer, SafetensorsTransfer, StoreTransfer
from parsl_tl.transfer.weights import layers_with_weights, read_weights

KINDS = ["store", "hdf5", "keras", "safetensors"]


def method_of(kind: str, folder: Path) -> Any:
    """Makes a transfer method that keeps its models in a folder."""
    if kind == "store":
        return StoreTransfer(f"embedded:{folder / 'store'}")
    if kind == "safetensors":
        return SafetensorsTransfer(folder / kind)
    return Hdf5Transfer(folder / kind, file_format="keras" if kind == "keras" else "weights.h5")


def keep(method: Any, model: Any, graph: Any, model_id: int) -> None:
    """Stores a model whole."""
    names = list(layers_with_weights(model, graph))
    method.store(model, graph, names, model_id=model_id, quality=0.5)


def weights_of(model: Any, graph: Any) -> dict[str, list[bytes]]:
    """Returns the bytes of a model's weights."""
    return {
        name: [array.tobytes() for array in arrays]
        for name, arrays in read_weights(layers_with_weights(model, graph)).items()
    }
