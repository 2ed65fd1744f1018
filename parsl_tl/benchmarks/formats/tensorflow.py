"""TensorFlow checkpoints of a model's variables, called ``<layer>/<number>``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from parsl_tl.benchmarks.formats.file_format import (
    FileFormat,
    LayerArrays,
    layers_with_weights,
    read_numbered,
)

_TF_VALUE: Final = "/.ATTRIBUTES/VARIABLE_VALUE"


class TensorFlowCheckpoint(FileFormat):
    """One checkpoint for a Keras model."""

    name = "tensorflow"
    rank = 3
    suffix = ".ckpt"

    def save(self, model: Any, path: Path) -> None:
        """See ``FileFormat``."""
        self._checkpoint(model).write(str(path))

    def load(self, model: Any, path: Path) -> Any:
        """See ``FileFormat``."""
        self._checkpoint(model).read(str(path)).assert_consumed()
        return model

    def read(
        self, path: Path, layers: Collection[str] | None, keys: Mapping[str, str]
    ) -> LayerArrays:
        """See ``FileFormat``."""
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(path))
        # Names in checkpoints write ".S" for a slash, and ".." for a dot.
        known = {
            re.sub(
                r"\.(S|\.)", lambda m: "/" if m[1] == "S" else ".", key.removesuffix(_TF_VALUE)
            ): key
            for key in reader.get_variable_to_shape_map()
            if key.endswith(_TF_VALUE) and not key.startswith("save_counter")
        }
        return read_numbered(known, layers, lambda name: reader.get_tensor(known[name]))

    def _checkpoint(self, model: Any) -> Any:
        import tensorflow as tf

        return tf.train.Checkpoint(
            **{
                f"{layer.name}/{number}": weight.value
                for layer in layers_with_weights(model)
                for number, weight in enumerate(layer.weights)
            }
        )


FORMAT = TensorFlowCheckpoint()
