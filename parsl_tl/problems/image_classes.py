"""What data sets of small images in ten classes have in common: scale, split and recipe."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from parsl_tl.problems.array_cache import NamedArrays, cached_arrays
from parsl_tl.problems.data import Array
from parsl_tl.problems.data_folder import data_folder
from parsl_tl.problems.prepared import SplitFiles
from parsl_tl.problems.split import split_rows


class ImageClasses(SplitFiles):
    """Images with published training and test parts.

    Validation images are taken from the training part, with the share of each class; the test part
    is the published one. Pixels are float32 in [0, 1], targets int32 class numbers.

    Args:
        folder: where the files are; None looks where systems have them, then in the data folder.
        validation: share of the training part to judge by.
        seed: of the split.
        flat: whether an image is one vector.

    Raises:
        ProblemError: an argument is out of range, or a file is missing or damaged.
    """

    validation: float
    system_folders: ClassVar[tuple[str, ...]] = ()
    shape: ClassVar[tuple[int, int, int]]
    class_names: ClassVar[tuple[str, ...]]

    output_shape = (10,)
    output_activation = "softmax"
    loss = "sparse_categorical_crossentropy"
    metrics = ("accuracy",)
    objective = "val_accuracy"
    epochs = 5
    batch_size = 128

    def __init__(
        self,
        *,
        folder: str | None = None,
        validation: float = 1 / 6,
        seed: int = 0,
        flat: bool = False,
    ) -> None:
        super().__init__(folder, validation, seed)
        self.flat = flat

    @cached_property
    def input_shape(self) -> Any:  # type: ignore[override]
        """Height, width and channels; or their product."""
        return (int(np.prod(self.shape)),) if self.flat else self.shape

    @abstractmethod
    def _find_files(self) -> Sequence[Path]:
        """Returns all files, where they are."""

    @abstractmethod
    def _read_part(self, files: Sequence[Path], part: str) -> tuple[Array, Array]:
        """Reads pixels from 0 to 255, ``(n, height, width, channels)``, and class numbers.

        Args:
            files: what ``_find_files`` has found.
            part: ``"train"`` or ``"test"``.
        """

    def _prepare(self) -> NamedArrays:
        files = self._find_files()
        of_system = str(files[0].parent) in self.system_folders
        return cached_arrays(
            files,
            f"{self.name} 1",
            {"split": [self.validation, self.seed], "flat": self.flat},
            lambda: self._read(files),
            beside=data_folder() / self.name if of_system else None,
        )

    def _read(self, files: Sequence[Path]) -> NamedArrays:
        x, y = self._read_part(files, "train")
        x_test, y_test = self._read_part(files, "test")
        split = split_rows(len(y), validation=self.validation, seed=self.seed, classes=y)
        pixels = {"x_train": x[split.train], "x_valid": x[split.valid], "x_test": x_test}
        targets = {"y_train": y[split.train], "y_valid": y[split.valid], "y_test": y_test}
        scaled = {
            name: np.divide(part.reshape(len(part), *self.input_shape), 255, dtype=np.float32)
            for name, part in pixels.items()
        }
        return NamedArrays(scaled | {name: part.astype("i4") for name, part in targets.items()})
