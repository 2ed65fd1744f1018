"""Images in folders: one folder a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import NamedArrays, cached_arrays
from parsl_tl.problems.data import Array
from parsl_tl.problems.prepared import PreparedProblem
from parsl_tl.problems.problem import check_count, check_fraction
from parsl_tl.problems.split import split_rows

if TYPE_CHECKING:
    import pyarrow as pa

_VERSION: Final = "images 1"
_MODES: Final[Mapping[str, tuple[str, int]]] = {
    "rgb": ("RGB", 3),
    "grayscale": ("L", 1),
    "rgba": ("RGBA", 4),
}
_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
)
# The names that folders of parts have.
_PARTS: Final[Mapping[str, str]] = {
    **{"train": "train", "training": "train"},
    **{"valid": "valid", "validation": "valid", "val": "valid"},
    **{"test": "test", "testing": "test"},
}


class ImageFolder(PreparedProblem):
    """Classes of images: ``folder/CLASS/IMAGE``, or ``folder/train/CLASS/IMAGE``.

    Inputs are float32 in [0, 1] of shape ``(height, width, channels)``, targets int32 class
    numbers in the order of the folders' names. Folders ``train``, ``valid`` and ``test`` are the
    parts; without ``valid`` some of the training images are, with the share of each class.

    Args:
        folder: of the images.
        size: height and width that images are brought to, or one number for both.
        color: ``"rgb"``, ``"grayscale"`` or ``"rgba"``.
        validation: share of the training images to judge by, where there is no ``valid`` folder.
        test: share that a search never sees, where there is no ``test`` folder.
        seed: of the split.

    Raises:
        ProblemError: an argument is out of range, there are no images, or one cannot be read.
    """

    name: ClassVar[str] = "images"
    paths: ClassVar[tuple[str, ...]] = ("folder",)

    output_activation = "softmax"
    loss = "sparse_categorical_crossentropy"
    metrics = ("accuracy",)
    objective = "val_accuracy"
    epochs = 10
    batch_size = 32

    def __init__(
        self,
        *,
        folder: str,
        size: int | Sequence[int] = 32,
        color: str = "rgb",
        validation: float = 0.2,
        test: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.folder = Path(folder).expanduser().absolute()
        if not self.folder.is_dir():
            raise ProblemError(f"there is no folder {self.folder}")
        sides = [size, size] if isinstance(size, int) else list(size)
        if len(sides) != 2:
            raise ProblemError(f"size is {size!r}; give one number, or height and width")
        self.size = tuple(check_count("size", side, least=1) for side in sides)
        if color not in _MODES:
            raise ProblemError(f"color is {color!r}; it must be one of {', '.join(_MODES)}")
        self.color = color
        self.validation = check_fraction("validation", validation)
        self.test = None if test is None else check_fraction("test", test)
        self.seed = check_count("seed", seed, least=0)

    @cached_property
    def input_shape(self) -> Any:  # type: ignore[override]
        """Height, width and channels."""
        return (*self.size, _MODES[self.color][1])

    @cached_property
    def output_shape(self) -> Any:  # type: ignore[override]
        """One output a class."""
        return (len(self.classes),)

    @cached_property
    def classes(self) -> list[str]:
        """The names of the classes, which are those of the folders."""
        folder = self._part_folders.get("train", self.folder)
        found = sorted(one.name for one in folder.iterdir() if one.is_dir() and one.name[0] != ".")
        if len(found) < 2:
            raise ProblemError(
                f"{folder} has {len(found)} folders with images; it needs one for each of two or "
                "more classes"
            )
        return found

    def data_table(self) -> pa.Table | None:
        """Returns the number of images by class and part."""
        import pyarrow as pa

        numbers = {part[2:]: y for part, y in self.prepared.arrays.items() if part[0] == "y"}
        counts = {part: np.bincount(y, minlength=len(self.classes)) for part, y in numbers.items()}
        return pa.table({"class": self.classes, **counts})

    @cached_property
    def _part_folders(self) -> dict[str, Path]:
        """Folders of the parts; empty where the classes' folders are at the top."""
        folders = {one.name.lower(): one for one in self.folder.iterdir() if one.is_dir()}
        if not {"train", "training"} & folders.keys():
            return {}
        unknown = [name for name in folders if name not in _PARTS and name[0] != "."]
        if unknown:
            raise ProblemError(
                f"{self.folder} has a folder for training and one called {unknown[0]!r}, which is "
                "no part; parts are called train, valid and test"
            )
        return {_PARTS[name]: one for name, one in folders.items() if name in _PARTS}

    def _prepare(self) -> NamedArrays:
        files = {
            part: self._list_images(folder)
            for part, folder in (self._part_folders or {"train": self.folder}).items()
        }
        sources = [path for listed in files.values() for path, _ in listed]
        arguments = {
            "folder": str(self.folder),
            "size": self.size,
            "color": self.color,
            "split": [self.validation, self.test, self.seed],
        }
        return cached_arrays(
            sources, _VERSION, arguments, lambda: self._read(files), beside=self.folder
        )

    def _list_images(self, folder: Path) -> list[tuple[Path, int]]:
        listed = [
            (path, number)
            for number, name in enumerate(self.classes)
            for path in sorted((folder / name).rglob("*"))
            if path.suffix.lower() in _SUFFIXES and path.is_file()
        ]
        if not listed:
            raise ProblemError(
                f"{folder} has no images; they are at CLASS/NAME with one of the suffixes "
                f"{', '.join(sorted(_SUFFIXES))}"
            )
        return listed

    def _read(self, files: Mapping[str, list[tuple[Path, int]]]) -> NamedArrays:
        rows = dict(files)
        if "valid" not in rows:
            listed = rows["train"]
            split = split_rows(
                len(listed),
                validation=self.validation,
                test=self.test if "test" not in rows else None,
                seed=self.seed,
                classes=np.array([number for _, number in listed]),
            )
            for part, numbers in zip(("train", "valid", "test"), split, strict=True):
                if len(numbers):
                    rows[part] = [listed[row] for row in numbers]
        arrays: dict[str, Array] = {}
        for part, listed in rows.items():
            arrays[f"x_{part}"] = self._read_images([path for path, _ in listed])
            arrays[f"y_{part}"] = np.array([number for _, number in listed], np.int32)
        return NamedArrays(arrays)

    def _read_images(self, paths: list[Path]) -> Array:
        try:
            from PIL import Image, UnidentifiedImageError
        except ImportError as error:
            raise ProblemError(
                "images are read by Pillow, which is not installed; pip install 'parsl-tl[images]'"
            ) from error
        mode, channels = _MODES[self.color]
        height, width = self.size
        rows = np.empty((len(paths), height, width, channels), np.float32)
        for row, path in zip(rows, paths, strict=True):
            try:
                with Image.open(path) as image:
                    resized = image.convert(mode).resize((width, height))
            except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
                raise ProblemError(f"image {path} cannot be read: {error}") from error
            row[...] = np.asarray(resized, np.float32).reshape(row.shape) / 255
        return rows
