"""A finished Keras model as a donor: a pretrained network, or the winner of another search."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.architecture.keras_state import check_model
from parsl_tl.architecture.keras_weights import keras_layers, variables_of
from parsl_tl.errors import InvalidValueError

if TYPE_CHECKING:
    import keras

    from parsl_tl.store.model_store import ModelStore


@dataclass(frozen=True)
class Imported:
    """A model that was taken into a store.

    Attributes:
        model_id: under which it is stored.
        num_layers: all layers of its graph.
        num_bytes: of its weights.
        nested: names of layers that are models themselves; each can match as a whole only.
    """

    model_id: int
    num_layers: int
    num_bytes: int
    nested: tuple[str, ...]


def import_keras(
    store: ModelStore,
    model: keras.Model | str | os.PathLike[str],
    *,
    model_id: int | None = None,
    quality: float = 0.0,
    fingerprint: int = 0,
    attributes: Mapping[str, Any] | None = None,
) -> Imported:
    """Puts a Keras model into a store, with all of its weights.

    Candidates that begin with the same layers may then take over its weights.

    Args:
        store: where to.
        model: Functional or Sequential, or a ``.keras`` or ``.h5`` file of one.
        model_id: an id that was never used in the store; drawn when None.
        quality: what it counts among donors of equally long prefixes; higher is better.
        fingerprint: of the data that it was trained with (``Problem.fingerprint``); with 0 it is a
            donor only for searches that take any.
        attributes: kept with the model.

    Raises:
        InvalidValueError: the file is no Keras model, or cannot be read.
        ArchitectureError: the model has no graph of layers, or keeps more than config and weights.
        StoreError: it could not be stored.
    """
    about = dict(attributes or {})
    if isinstance(model, str | os.PathLike):
        about.setdefault("imported_from", Path(model).name)
        model = _read(Path(model))
    graph = ArchitectureGraph.from_keras(model)
    check_model(model)
    layers = keras_layers(model, graph)
    weights = {
        name: [np.asarray(variable.numpy()) for variable in variables_of(layer)]
        for name, layer in layers.items()
        if layer.weights
    }
    chosen = secrets.randbits(64) if model_id is None else model_id
    store.put(chosen, graph, weights, quality=quality, attributes=about, fingerprint=fingerprint)
    return Imported(
        chosen,
        len(graph),
        sum(array.nbytes for arrays in weights.values() for array in arrays),
        tuple(layer.name for layer in model.layers if getattr(layer, "layers", None)),
    )


def _read(path: Path) -> Any:
    import keras

    if not path.is_file():
        raise InvalidValueError(f"there is no file {path}")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever a file may hold
        raise InvalidValueError(
            f"{path} is no model that Keras can read ({type(error).__name__}: {error}); save it "
            "with model.save('model.keras')"
        ) from error
