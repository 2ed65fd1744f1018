"""A model as Keras' own file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from parsl_tl.store.export import write_keras_file

if TYPE_CHECKING:
    import keras

_FILE: Final = "model.keras"


class KerasFormat:
    """One ``.keras`` file. Conforms to ``Format``."""

    name = "keras"
    loading = f"""\
import keras

model = keras.saving.load_model("{_FILE}", compile=False)
"""

    def check(self) -> None:
        """See ``Format.check``."""

    def write(self, model: keras.Model, folder: Path, name: str) -> list[Path]:
        """See ``Format.write``."""
        write_keras_file(model, folder / _FILE, name)
        return [folder / _FILE]
