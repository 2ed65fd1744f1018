"""Khan's gene expressions: four kinds of tumours, few samples and many genes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import NamedArrays
from parsl_tl.problems.data import Array
from parsl_tl.problems.data_folder import find_data
from parsl_tl.problems.prepared import SplitFiles
from parsl_tl.problems.split import split_rows

KHAN_FILES: Final = ("Khan_xtrain.csv", "Khan_ytrain.csv", "Khan_xtest.csv", "Khan_ytest.csv")
_CLASSES: Final = 4
_NOISE: Final = 1.0


class Khan(SplitFiles):
    """Expressions of 2,308 genes of 63 and 20 samples, four kinds of small round blue cell tumours.

    J. Khan et al., "Classification and diagnostic prediction of cancers using gene expression
    profiling and artificial neural networks", 2001, as the package ISLP has it. Inputs are float32,
    the logarithms as published, targets int32 class numbers from 0. The test part is the published
    one.

    Genes are not scaled one by one: most hardly vary, and would weigh as much as those that tell
    tumours apart. In cross-validation on the 63 samples, a network of 64 units is right on 98% as
    they are, and on 92% with each gene divided by its deviation. Training samples get noise of
    deviation 1: it shrinks what new weights are along the many directions that few samples say
    nothing of. Cross-validated on thirds of the 63 samples, two linear layers are right on 93% of
    the others with noise and on 84% without, a logistic regression on 94%.

    Args:
        folder: of the four files ``Khan_xtrain.csv`` and so on; None looks in the package ISLP, if
            it is installed, then in the data folder.
        validation: share of the 63 samples to judge by, with the share of each class.
        seed: of the split.
        flat: whether a sample is a vector; else it has the shape ``(genes, 1)``.

    Raises:
        ProblemError: an argument is out of range, or a file is missing or damaged.
    """

    name: ClassVar[str] = "khan"
    validation: float

    output_shape = (_CLASSES,)
    output_activation = "softmax"
    loss = "sparse_categorical_crossentropy"
    metrics = ("accuracy",)
    objective = "val_accuracy"
    epochs = 20
    batch_size = 8

    def __init__(
        self,
        *,
        folder: str | None = None,
        validation: float = 0.25,
        seed: int = 0,
        flat: bool = True,
    ) -> None:
        super().__init__(folder, validation, seed)
        self.flat = flat

    def augmentation(self) -> Sequence[Any]:
        """Returns the noise that training samples get."""
        import keras

        return [keras.layers.GaussianNoise(_NOISE, seed=self.seed)]

    def _prepare(self) -> NamedArrays:
        found = find_data(self.name, KHAN_FILES, self.folder, _installed_folders())
        x, y, x_test, y_test = (_read_numbers(found[name]) for name in KHAN_FILES)
        y, y_test = (_class_numbers(part, found["Khan_ytrain.csv"]) for part in (y, y_test))
        split = split_rows(len(x), validation=self.validation, seed=self.seed, classes=y)
        rows = {"x_train": x[split.train], "x_valid": x[split.valid], "x_test": x_test}
        inputs = {
            name: (part if self.flat else part[..., None]).astype(np.float32)
            for name, part in rows.items()
        }
        targets = {"y_train": y[split.train], "y_valid": y[split.valid], "y_test": y_test}
        return NamedArrays(inputs | targets)


def _installed_folders() -> list[str]:
    """Finds the data of ISLP without importing it, which takes a framework."""
    spec = importlib.util.find_spec("ISLP")
    return [] if spec is None or spec.origin is None else [str(Path(spec.origin).parent / "data")]


def _read_numbers(path: Path) -> Array:
    import pyarrow as pa
    from pyarrow import csv

    try:
        with pa.input_stream(str(path)) as stream:
            table = csv.read_csv(
                stream, read_options=csv.ReadOptions(block_size=1 << 26, use_threads=False)
            )
        return np.stack([column.to_numpy().astype(np.float64) for column in table.columns], axis=1)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ProblemError(f"{path} cannot be read: {error}") from error


def _class_numbers(labels: Array, path: Path) -> Array:
    numbers = labels[:, 0].astype(np.int32) - 1
    if numbers.min() < 0 or numbers.max() >= _CLASSES:
        raise ProblemError(f"{path} has classes from {numbers.min() + 1}; they are 1 to {_CLASSES}")
    return numbers
