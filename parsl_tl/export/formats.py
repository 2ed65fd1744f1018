"""The formats that models are written in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from parsl_tl.export.keras_format import KerasFormat
from parsl_tl.export.onnx_format import OnnxFormat
from parsl_tl.export.safetensors_format import SafetensorsFormat

if TYPE_CHECKING:
    import keras


class Format(Protocol):
    """How a model is written, and read by who has nothing but its files.

    Attributes:
        name: what users call it.
        loading: Python that loads the files, with nothing of this package.
    """

    name: str
    loading: str

    def check(self) -> None:
        """Refuses before anything is done.

        Raises:
            ExportError: a package is missing.
        """

    def write(self, model: keras.Model, folder: Path, name: str) -> list[Path]:
        """Writes a model, and returns its files once they are known to predict the same.

        Args:
            model: the model.
            folder: a new one that nobody else looks into.
            name: of the model, in messages.

        Raises:
            ExportError: the format cannot hold the model, or the files predict otherwise.
            InvalidValueError: weights of 8-bit floats.
        """


FORMATS: Final[Mapping[str, Format]] = {
    one.name: one for one in (KerasFormat(), SafetensorsFormat(), OnnxFormat())
}
"""By name."""
