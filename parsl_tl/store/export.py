"""A stored model as a Keras model, in memory or in a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.keras_state import make_derived_anew
from parsl_tl.architecture.keras_weights import keras_layers, variables_of
from parsl_tl.architecture.predictions import check_predictions, example_inputs, predict
from parsl_tl.errors import ExportError, InvalidValueError, StoreCorruptError
from parsl_tl.store.model_id import format_model_id
from parsl_tl.store.tensors import fits_keras_files

if TYPE_CHECKING:
    from parsl_tl.store.model_store import ModelStore


def load_keras_model(store: ModelStore, model_id: int) -> Any:
    """Builds the ``keras.Model`` of a stored model, with its weights.

    Layers carry their stable names.

    Raises:
        ModelNotFoundError: no such model.
        StoreCorruptError: the stored weights do not fit the stored architecture.
    """
    graph = store.graph(model_id)
    model = graph.to_keras()
    stored = store.read(model_id)
    for name, layer in keras_layers(model, graph).items():
        variables, arrays = variables_of(layer), stored.get(name, [])
        needed, held = _signature(variables), _signature(arrays)
        if needed != held:
            raise StoreCorruptError(
                f"model {format_model_id(model_id)}, layer {name}: the architecture needs "
                f"weights {needed}, the store holds {held}; it was stored without all of its "
                "weights, or with those of another architecture"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
    make_derived_anew([model])
    return model


def _signature(weights: Sequence[Any]) -> list[tuple[tuple[int, ...], str]]:
    return [(tuple(weight.shape), str(weight.dtype)) for weight in weights]


def export_keras(
    store: ModelStore, model_id: int, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Writes a stored model as a ``.keras`` file that predicts the same.

    Args:
        store: where the model is.
        model_id: which one.
        path: the file to write; must end in ``.keras``.
        overwrite: replace a file that exists.

    Returns:
        The path written.

    Raises:
        InvalidValueError: another ending, a missing folder, a file that exists or cannot be
            written, or weights of 8-bit floats.
        ExportError: what Keras reads back from the file is not the model.
        ModelNotFoundError: no such model.
    """
    target = Path(path)
    if target.suffix != ".keras":
        raise InvalidValueError(f"{target} must end in .keras")
    if not target.parent.is_dir():
        raise InvalidValueError(f"the folder {target.parent} does not exist; create it first")
    try:
        exists = target.exists()
    except OSError as error:
        raise InvalidValueError(f"{target} cannot be written: {error.strerror}") from error
    if exists and not overwrite:
        raise InvalidValueError(f"{target} exists; name another file or overwrite it on purpose")
    write_keras_file(load_keras_model(store, model_id), target, format_model_id(model_id))
    return target


def write_keras_file(model: Any, target: Path, name: str) -> None:
    """Writes a model as a ``.keras`` file, once the file is known to predict the same.

    It is written beside its place and renamed, so that a file of that name is always whole.

    Args:
        model: the model.
        target: where to.
        name: of the model, in messages.

    Raises:
        InvalidValueError: it cannot be written there, or has weights of 8-bit floats.
        ExportError: what Keras reads back from the file is not the model.
    """
    check_file_dtypes(model, name, ".keras files")
    partial = target.with_name(f".{target.stem}.{os.getpid()}.keras")
    try:
        model.save(partial)
        inputs = example_inputs(model)
        found = predict(_read_back(partial, name), inputs)
        check_predictions(predict(model, inputs), found, f"the .keras file of model {name}")
        partial.replace(target)
    except OSError as error:
        raise InvalidValueError(
            f"{target} cannot be written: {error.strerror or error}; name another file"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # what could not be written need not be there
            partial.unlink()


def check_file_dtypes(model: Any, name: str, files: str) -> None:
    """Refuses a model with weights of a dtype that files are written with, but not read.

    Args:
        model: the model.
        name: of the model, in messages.
        files: of what kind.

    Raises:
        InvalidValueError: it has weights of 8-bit floats.
    """
    for weight in model.weights:
        if not fits_keras_files(weight.numpy().dtype):
            raise InvalidValueError(
                f"model {name} has weights of dtype {weight.dtype}, which {files} do not hold"
            )


def _read_back(file: Path, name: str) -> Any:
    import keras

    try:
        return keras.saving.load_model(file, compile=False)
    except Exception as error:  # whatever the classes of a model do when they are made
        raise ExportError(
            f"model {name} cannot be read back from a .keras file ({type(error).__name__}: "
            f"{str(error).strip()[:200]}); register its classes and functions with "
            "keras.saving.register_keras_serializable"
        ) from error
