"""Safetensors files; tensors are called ``<layer>/<number>``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from parsl_tl.benchmarks.formats.bench_model import Array
from parsl_tl.benchmarks.formats.file_format import (
    FileFormat,
    LayerArrays,
    layer_arrays,
    read_numbered,
)
from parsl_tl.benchmarks.formats.operation import FileMethod, Reader


def _numbered(layers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{name}/{number}": array
        for name, arrays in layers.items()
        for number, array in enumerate(arrays)
    }


class SafetensorsFile(FileFormat):
    """One file for a Keras model."""

    suffix = ".safetensors"

    def save(self, model: Any, path: Path) -> None:
        """See ``FileFormat``."""
        from safetensors.numpy import save_file

        save_file(_numbered(layer_arrays(model)), path)

    def load(self, model: Any, path: Path) -> Any:
        """See ``FileFormat``."""
        for name, arrays in self.read(path, None, {}).items():
            model.get_layer(name).set_weights(arrays)
        return model

    def read(
        self, path: Path, layers: Collection[str] | None, keys: Mapping[str, str]
    ) -> LayerArrays:
        """See ``FileFormat``."""
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return read_numbered(file.keys(), layers, file.get_tensor)


class SafetensorsFiles(FileMethod):
    """Files with a model's arrays."""

    name = "safetensors"
    suffix = ".safetensors"

    def writer(self, part: str) -> tuple[str, Callable[[Path], Any]]:
        """See ``FileMethod``."""
        save_file = importlib.import_module("safetensors.numpy").save_file
        tensors = _numbered(self.model.layers(part))
        return "save_file", lambda path: save_file(tensors, path)

    def readers(self, part: str) -> list[Reader]:
        """See ``FileMethod``."""
        safe_open = importlib.import_module("safetensors").safe_open
        names = list(_numbered(self.model.layers(part)))

        def read(path: Path) -> list[Array]:
            with safe_open(path, framework="np") as file:
                return [file.get_tensor(name) for name in names]

        return [("get_tensor", read)]

    def written(self, path: Path, part: str) -> list[Array]:
        """See ``FileMethod``."""
        return self.readers(part)[0][1](path)
