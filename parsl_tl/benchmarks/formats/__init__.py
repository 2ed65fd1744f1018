"""Ways to keep a model's weights, a file each, by the names that users type."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from parsl_tl.benchmarks.core.redis_server import redis_missing
from parsl_tl.benchmarks.formats.bare import Bare
from parsl_tl.benchmarks.formats.copies import Copies
from parsl_tl.benchmarks.formats.file_format import FileFormat
from parsl_tl.benchmarks.formats.operation import Method
from parsl_tl.benchmarks.formats.plain import PlainFiles
from parsl_tl.benchmarks.formats.redis import RedisValues
from parsl_tl.benchmarks.formats.safetensors import SafetensorsFile, SafetensorsFiles
from parsl_tl.benchmarks.formats.store import EmbeddedModels, StoreFolder, stores_of
from parsl_tl.benchmarks.formats.tensorflow import TensorFlowCheckpoint
from parsl_tl.benchmarks.formats.weights_h5 import KerasFile, WeightsHdf5, hdf5_of
from parsl_tl.errors import BenchmarkError

# What keeps whole Keras models in files.
FILE_FORMATS: Final[Mapping[str, FileFormat]] = {
    "weights.h5": WeightsHdf5(),
    "keras": KerasFile(),
    "safetensors": SafetensorsFile(),
    "tensorflow": TensorFlowCheckpoint(),
}
# Those whose layers are read one by one.
LAYER_FORMATS: Final[Mapping[str, FileFormat]] = {**FILE_FORMATS, "store": StoreFolder()}
# What keeps arrays, for one case in one process; several where a format has several variants.
METHODS: Final[Mapping[str, Callable[..., list[Method]]]] = {
    "memcpy": lambda *given: [Copies(*given)],
    "bare": lambda *given: [Bare(*given)],
    "plain": lambda *given: [PlainFiles(*given)],
    "hdf5": hdf5_of,
    "safetensors": lambda *given: [SafetensorsFiles(*given)],
    "redis": lambda *given: [RedisValues(*given)],
    "embedded": lambda *given: [EmbeddedModels(*given)],
    "store": stores_of,
}


def missing_methods(packages: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Returns methods that cannot be measured here, with the reason of each in one line.

    Args:
        packages: that a method needs, by its name; Redis is always looked for.
    """
    missing = {
        method: f"{package} is not installed: pip install {package}"
        for method, needed in packages.items()
        for package in needed
        if importlib.util.find_spec(package) is None
    }
    reason = redis_missing()
    return missing if reason is None else {**missing, "redis": reason}


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
