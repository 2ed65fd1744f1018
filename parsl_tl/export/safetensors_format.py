"""A model as its weights in a safetensors file, and its architecture in a JSON file of Keras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from parsl_tl.architecture.predictions import check_predictions, example_inputs, predict
from parsl_tl.errors import ExportError
from parsl_tl.store.export import check_file_dtypes

if TYPE_CHECKING:
    import keras

_WEIGHTS: Final = "model.safetensors"
_ARCHITECTURE: Final = "architecture.json"


class SafetensorsFormat:
    """Tensors are called as Keras calls its variables. Conforms to ``Format``."""

    name = "safetensors"
    # Layers that keep what derives from their weights (Normalization) compute it anew.
    loading = f"""\
from pathlib import Path

import keras
from safetensors.numpy import load_file

model = keras.models.model_from_json(Path("{_ARCHITECTURE}").read_text())
tensors = load_file("{_WEIGHTS}")
for variable in model.weights:
    variable.assign(tensors[variable.path])
for layer in model.layers:
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()
"""

    def check(self) -> None:
        """See ``Format.check``."""
        try:
            import safetensors  # noqa: F401
        except ImportError as error:
            raise ExportError(
                "format 'safetensors' needs a package: pip install 'parsl-tl[safetensors]'"
            ) from error

    def write(self, model: keras.Model, folder: Path, name: str) -> list[Path]:
        """See ``Format.write``."""
        from safetensors.numpy import save_file

        check_file_dtypes(model, name, "safetensors files")
        tensors = {one.path: np.array(one.numpy(), order="C") for one in model.weights}
        if len(tensors) < len(model.weights):
            raise ExportError(
                f"model {name} has several weights of the same path, which safetensors cannot tell "
                "apart; export it as 'keras'"
            )
        weights, architecture = folder / _WEIGHTS, folder / _ARCHITECTURE
        save_file(tensors, weights, {"format": "np", "architecture": _ARCHITECTURE})
        architecture.write_text(json.dumps(json.loads(model.to_json()), indent=1) + "\n")
        weights.chmod(architecture.stat().st_mode)  # it was written for its owner alone
        inputs = example_inputs(model)
        found = predict(_read_back(weights, architecture, name), inputs)
        check_predictions(predict(model, inputs), found, f"the safetensors file of model {name}")
        return [weights, architecture]


def _read_back(weights: Path, architecture: Path, name: str) -> Any:
    """Loads a model as ``loading`` tells users to."""
    import keras
    from safetensors.numpy import load_file

    try:
        model = keras.models.model_from_json(architecture.read_text())
        tensors = load_file(weights)
        for variable in model.weights:
            variable.assign(tensors[variable.path])
        for layer in model.layers:
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()
    except Exception as error:  # whatever the classes of a model do when they are made
        raise ExportError(
            f"model {name} cannot be read back from its architecture and safetensors "
            f"({type(error).__name__}: {str(error).strip()[:200]}); register its classes and "
            "functions with keras.saving.register_keras_serializable, or export it as 'keras'"
        ) from error
    return model
