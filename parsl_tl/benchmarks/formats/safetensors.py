"""Safetensors files; tensors are called ``<layer>/<number>``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from parsl_tl.benchmarks.formats.bench_model import PARTS, Array
from parsl_tl.benchmarks.formats.file_format import (
    FileFormat,
    LayerArrays,
    layer_arrays,
    numbered,
    read_numbered,
)
from parsl_tl.benchmarks.formats.method import FileMethod


class _File(FileFormat):
    """One file for a Keras model."""

    name, rank, suffix = "safetensors", 2, ".safetensors"

    def save(self, model: Any, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file(numbered(layer_arrays(model)), path)

    def read(
        self, path: Path, layers: Collection[str] | None, keys: Mapping[str, str]
    ) -> LayerArrays:
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return read_numbered(file.keys(), layers, file.get_tensor)


class _Files(FileMethod):
    """Files with a model's arrays."""

    name, rank, suffix = "safetensors", 4, ".safetensors"
    suites, packages = ("store",), ("safetensors",)
    how_written = dict.fromkeys(PARTS, "save_file")

    def writer(self, part: str) -> Callable[[Path], Any]:
        save_file = importlib.import_module("safetensors.numpy").save_file
        tensors = numbered(self.model.layers(part))
        return lambda path: save_file(tensors, path)

    def readers(self, part: str) -> Mapping[str, Callable[[Path], Any]]:
        safe_open = importlib.import_module("safetensors").safe_open
        names = list(numbered(self.model.layers(part)))

        def read(path: Path) -> list[Array]:
            with safe_open(path, framework="np") as file:
                return [file.get_tensor(name) for name in names]

        return {"get_tensor": read}
