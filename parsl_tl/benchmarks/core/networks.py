"""Whole networks to write and read: the CANDLE NT3 baseline, ResNets, dense stacks, Keras files."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parsl_tl.benchmarks.core.options import option
from parsl_tl.benchmarks.core.room import check_room
from parsl_tl.errors import BenchmarkError, InvalidValueError

_NT3_LENGTH: Final = 60_483
_NT3_NAMES: Final = ("candle", "nt3")
# Names in keras.applications, and numbers of parameters.
_RESNETS: Final = {
    "resnet50": ("ResNet50", 25_636_712),
    "resnet101": ("ResNet101", 44_707_176),
    "resnet152": ("ResNet152", 60_419_944),
    "resnet": ("ResNet152", 60_419_944),
}
_DENSE: Final = "dense:"
_FLOAT_BYTES: Final = 4
# Files are somewhat larger than the weights in them.
_ROOM: Final = 1.2
# The model, a copy to compare with, the loaded model, and what loading takes for a moment.
_COPIES: Final = 4
NAMES: Final = "candle, resnet50, resnet101, resnet152, dense:MB, dense:MBxLAYERS, or a Keras file"


@dataclass(frozen=True)
class Network:
    """Which network."""

    name: str = "candle"  # see ``NAMES``; or ``nt3`` for ``candle``, ``resnet`` for ``resnet152``
    input_length: int = _NT3_LENGTH  # of the NT3 network, in gene expressions
    scale: float = 1.0  # what the widths of the NT3 network (filters and units) are multiplied with
    seed: int = 0  # of the initial weights

    @property
    def label(self) -> str:
        """The name, with what differs from the original network."""
        if _is_file(self.name):
            return Path(self.name).name
        changed = [f"length={self.input_length}"] * (self.input_length != _NT3_LENGTH)
        changed += [f"scale={self.scale:g}"] * (self.scale != 1.0)
        is_changed = changed and self.name in _NT3_NAMES
        return f"{self.name}({','.join(changed)})" if is_changed else self.name

    @property
    def widths(self) -> tuple[int, int, int]:
        """Filters of the NT3 network, and units of its dense layers but the output."""
        filters, units, last = (max(1, round(width * self.scale)) for width in (128, 200, 20))
        return filters, units, last


@dataclass(frozen=True)
class Networks:
    """Which networks a user asks for."""

    model: tuple[str, ...] = option(("candle",), NAMES)
    scale: float = option(0.5, "widths of the NT3 network, times the original's: 1 is 0.62 GB")
    input_length: int = option(_NT3_LENGTH, "gene expressions that the NT3 network takes")
    seed: int = option(0, "of the weights")

    @property
    def all(self) -> tuple[Network, ...]:
        """Each of them; a file is named so that tasks elsewhere find it."""
        names = (str(Path(name).resolve()) if _is_file(name) else name for name in self.model)
        return tuple(Network(name, self.input_length, self.scale, self.seed) for name in names)

    def check(self) -> int:
        """Returns the bytes of the largest one; raises as ``network_bytes``."""
        return max(map(network_bytes, self.all))


def check_network_room(settings: Any) -> None:
    """Refuses ``networks`` of settings that can never work, or do not fit where they run."""
    largest = settings.networks.check()
    if settings.where.config is None:
        advice = "a smaller --model or --scale"
        check_room(settings.folder, largest * _ROOM, largest * _COPIES, advice)


def network_bytes(network: Network) -> int:
    """Returns the bytes of its weights, about; of a file its size, 0 if it is missing.

    Raises:
        InvalidValueError: an unknown name, or a size that gives no network.
    """
    name = network.name
    if name in _NT3_NAMES:
        # Two convolutions of 20 and 10, then a pool of 10.
        if network.input_length < 38:
            raise InvalidValueError(
                f"input_length={network.input_length} is too short for two convolutions and a "
                "pool; give at least 38"
            )
        if not 0.0 < network.scale <= 100.0:
            raise InvalidValueError(f"scale={network.scale} must be above 0, and at most 100")
        filters, units, last = network.widths
        flat = (network.input_length - 28) // 10 * filters
        convolutions = 21 * filters + (10 * filters + 1) * filters
        return _FLOAT_BYTES * (convolutions + (flat + 1) * units + (units + 3) * last + 2)
    if name.startswith(_DENSE):
        return int(_dense_size(name)[0] * 1e6)
    if name in _RESNETS:
        return _FLOAT_BYTES * _RESNETS[name][1]
    if not _is_file(name):
        raise InvalidValueError(f"unknown model {name!r}; choose from {NAMES}")
    return Path(name).stat().st_size if Path(name).is_file() else 0


def build_network(network: Network) -> Any:
    """Builds the ``keras.Model``, with weights; layers are named alike in every process.

    Raises:
        BenchmarkError: the file is missing or cannot be read.
        InvalidValueError: see ``network_bytes``.
    """
    network_bytes(network)
    from parsl_tl.training.runtime import configure_threads

    configure_threads()
    import keras

    keras.utils.set_random_seed(network.seed)
    if network.name in _RESNETS:
        return getattr(keras.applications, _RESNETS[network.name][0])(weights=None)
    if _is_file(network.name):
        return _from_file(Path(network.name))
    if network.name in _NT3_NAMES:
        return keras.Sequential(_nt3_layers(network), name="nt3")
    megabytes, count = _dense_size(network.name)
    units = max(1, round((megabytes * 1e6 / count / _FLOAT_BYTES) ** 0.5))
    stack = [keras.layers.Dense(units, name=f"dense_{index + 1}") for index in range(count)]
    return keras.Sequential([keras.Input((units,)), *stack], name="dense_stack")


def _nt3_layers(network: Network) -> list[Any]:
    """The baseline of CANDLE's Pilot1 NT3: float32 input (samples, input_length, 1), 2 classes."""
    import keras
    from keras import layers

    filters, units, last = network.widths
    return [
        keras.Input((network.input_length, 1)),
        layers.Conv1D(filters, 20, activation="relu", name="conv_1"),
        layers.MaxPooling1D(1, name="pool_1"),
        layers.Conv1D(filters, 10, activation="relu", name="conv_2"),
        layers.MaxPooling1D(10, name="pool_2"),
        layers.Flatten(name="flatten"),
        layers.Dense(units, activation="relu", name="dense_1"),
        layers.Dropout(0.1, name="dropout_1"),
        layers.Dense(last, activation="relu", name="dense_2"),
        layers.Dropout(0.1, name="dropout_2"),
        layers.Dense(2, activation="softmax", name="output"),
    ]


def _from_file(path: Path) -> Any:
    import keras

    if not path.is_file():
        raise BenchmarkError(f"{path} is missing")
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise BenchmarkError(f"{path} is no whole .keras file: its end is missing, or its archive")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # whatever zip, JSON, HDF5 and Keras make of a damaged file
        raise BenchmarkError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def _is_file(name: str) -> bool:
    return name.endswith((".keras", ".h5")) or os.sep in name


def _dense_size(name: str) -> tuple[float, int]:
    megabytes, _, layers = name.removeprefix(_DENSE).partition("x")
    try:
        size, count = float(megabytes), int(layers or 16)
    except ValueError:
        size, count = 0.0, 0
    if not (0.0 < size < 1e6 and 0 < count <= 10_000):
        raise InvalidValueError(
            f"model {name!r} must be dense:MB or dense:MBxLAYERS, such as dense:100x16"
        )
    return size, count
