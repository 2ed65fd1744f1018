"""Ways to keep a model's weights, a file each; those of Keras models by the names users type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from parsl_tl.benchmarks.formats.file_format import FileFormat
from parsl_tl.benchmarks.formats.safetensors import SafetensorsFile
from parsl_tl.benchmarks.formats.tensorflow import TensorFlowCheckpoint
from parsl_tl.benchmarks.formats.weights_h5 import KerasFile, WeightsHdf5
from parsl_tl.errors import BenchmarkError

FILE_FORMATS: Final[Mapping[str, FileFormat]] = {
    "weights.h5": WeightsHdf5(),
    "keras": KerasFile(),
    "safetensors": SafetensorsFile(),
    "tensorflow": TensorFlowCheckpoint(),
}


def format_of(path: Path) -> str:
    """Returns the name of the format that a path's suffix stands for.

    Raises:
        BenchmarkError: there is none.
    """
    name = path.name.removesuffix(".index")
    for known, file_format in FILE_FORMATS.items():
        if name.endswith(file_format.suffix):
            return known
    suffixes = ", ".join(file_format.suffix for file_format in FILE_FORMATS.values())
    raise BenchmarkError(f"{path}: the name must end in one of {suffixes}")
