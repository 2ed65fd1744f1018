"""Safetensors files; tensors are called ``<layer>/<number>``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from parsl_tl.benchmarks.formats import file_format
from parsl_tl.benchmarks.formats.bench_model import PARTS
from parsl_tl.benchmarks.formats.method import FileMethod, OnFile, Reader


class _File(file_format.FileFormat):
    """One file for a Keras model."""

    name, rank, suffix = "safetensors", 2, ".safetensors"

    def save(self, model: Any, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file(file_format.numbered(file_format.layer_arrays(model)), path)

    def read(
        self, path: Path, layers: file_format.Names, keys: Mapping[str, str]
    ) -> file_format.LayerArrays:
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return file_format.read_numbered(file.keys(), layers, file.get_tensor)


class _Files(FileMethod):
    """Files with a model's arrays."""

    name, rank, suffix = "safetensors", 4, ".safetensors"
    suites, packages = ("store",), ("safetensors",)
    how_written = dict.fromkeys(PARTS, "save_file")

    def writer(self, part: str) -> OnFile:
        save_file = importlib.import_module("safetensors.numpy").save_file
        return partial(save_file, file_format.numbered(self.model.layers(part)))

    def readers(self, part: str) -> Mapping[str, Reader]:
        safe_open = importlib.import_module("safetensors").safe_open
        names = list(file_format.numbered(self.model.layers(part)))

        def read(number: int) -> list[Any]:
            with safe_open(self.path(number), framework="np") as file:
                return [file.get_tensor(name) for name in names]

        return {"get_tensor": read}
