"""A model as an ONNX file, which needs no Keras where it predicts."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.architecture.predictions import Arrays, check_predictions, example_inputs, predict
from parsl_tl.errors import ExportError

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

_FILE: Final = "model.onnx"
# Another runtime adds in another order, in convolutions above all.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5
_PACKAGES: Final = ("onnx", "onnxruntime", "tf2onnx")


class OnnxFormat:
    """One ``.onnx`` file, whose number of rows is open. Conforms to ``Format``."""

    name = "onnx"
    loading = f"""\
import onnxruntime

session = onnxruntime.InferenceSession("{_FILE}", providers=["CPUExecutionProvider"])
names = [one.name for one in session.get_inputs()]
# outputs = session.run(None, dict(zip(names, arrays)))
"""

    def check(self) -> None:
        """See ``Format.check``."""
        import importlib.util

        import keras

        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise ExportError(
                f"format 'onnx' needs {', '.join(missing)}: pip install 'parsl-tl[onnx]'"
            )
        if keras.backend.backend() != "tensorflow":
            raise ExportError(
                f"format 'onnx' is written by TensorFlow, and KERAS_BACKEND is "
                f"{keras.backend.backend()!r}; run the command with KERAS_BACKEND=tensorflow, "
                "which reads the same models"
            )

    def write(self, model: keras.Model, folder: Path, name: str) -> list[Path]:
        """See ``Format.write``."""
        inputs = example_inputs(model)
        expected = predict(model, inputs)
        file = folder / _FILE
        try:
            with _silence():
                model.export(file, format="onnx", verbose=False)
            found = _run(file, [tensor.name for tensor in model.inputs], inputs)
        except Exception as error:  # of a converter and a runtime that raise what they like
            raise ExportError(
                f"model {name} cannot be an ONNX file ({type(error).__name__}: "
                f"{_told(error)}); export it as 'keras' or 'safetensors'"
            ) from error
        what = f"the ONNX file of model {name}"
        check_predictions(expected, found, what, relative=_RELATIVE, absolute=_ABSOLUTE)
        return [file]


def _run(file: Path, names: Sequence[str], inputs: Sequence[NDArray[Any]]) -> Arrays:
    """Returns what ONNX Runtime predicts."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # it would bind threads to cores that may be others'
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = [one.name for one in session.get_inputs()]
    arrays = dict(zip(names, inputs, strict=True))
    if set(given) != set(arrays):  # not called as Keras calls them: they are in its order
        arrays = dict(zip(given, inputs, strict=True))
    return list(session.run(None, arrays))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps what the converter logs and prints to itself: what matters, it raises."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
