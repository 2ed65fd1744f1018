"""TensorFlow checkpoints of a model's variables, called ``<layer>/<number>``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from parsl_tl.benchmarks.formats import file_format

_VALUE: Final = "/.ATTRIBUTES/VARIABLE_VALUE"
# Names in checkpoints write ".S" for a slash, and ".." for a dot.
_ESCAPED: Final = {".S": "/", "..": "."}


class _Checkpoint(file_format.FileFormat):
    """One checkpoint for a Keras model."""

    name, rank, suffix = "tensorflow", 3, ".ckpt"

    def save(self, model: Any, path: Path) -> None:
        self._checkpoint(model).write(str(path))

    def load(self, model: Any, path: Path) -> Any:
        self._checkpoint(model).read(str(path)).assert_consumed()
        return model

    def read(
        self, path: Path, layers: file_format.Names, keys: Mapping[str, str]
    ) -> file_format.LayerArrays:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(path))
        known = {
            re.sub(r"\.[S.]", lambda m: _ESCAPED[m[0]], key.removesuffix(_VALUE)): key
            for key in reader.get_variable_to_shape_map()
            if key.endswith(_VALUE) and not key.startswith("save_counter")
        }
        return file_format.read_numbered(known, layers, lambda one: reader.get_tensor(known[one]))

    def _checkpoint(self, model: Any) -> Any:
        import tensorflow as tf

        layers = {one.name: one.weights for one in file_format.layers_with_weights(model)}
        found = file_format.numbered(layers).items()
        return tf.train.Checkpoint(**{name: weight.value for name, weight in found})
