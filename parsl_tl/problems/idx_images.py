"""MNIST and Fashion-MNIST: images in IDX files (Y. LeCun's format), packed by gzip or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Array
from parsl_tl.problems.data_folder import find_data
from parsl_tl.problems.image_classes import ImageClasses

IDX_FILES: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_BYTES: Final = 8
"""The code of unsigned bytes among the types that the format has."""
_PARTS: Final[Mapping[str, slice]] = {"train": slice(0, 2), "test": slice(2, 4)}


def read_idx(path: Path) -> Array:
    """Reads an IDX file of unsigned bytes.

    Args:
        path: of the file; ``.gz`` is unpacked.

    Returns:
        uint8, of the shape that the file says.

    Raises:
        ProblemError: it is no such file, or ends too early.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ProblemError(f"{path} cannot be read: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _BYTES:
        raise ProblemError(f"{path} is no IDX file of bytes; it begins with {content[:4].hex(' ')}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ProblemError(f"{path} ends within its header; get it anew")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) != start + math.prod(shape):
        raise ProblemError(
            f"{path} has {len(content) - start} bytes of values, its header says "
            f"{math.prod(shape)}; get it anew"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


class _IdxImages(ImageClasses):
    shape = (28, 28, 1)

    def _find_files(self) -> Sequence[Path]:
        return list(find_data(self.name, IDX_FILES, self.folder, self.system_folders).values())

    def _read_part(self, files: Sequence[Path], part: str) -> tuple[Array, Array]:
        images, labels = files[_PARTS[part]]
        x, y = read_idx(images), read_idx(labels)
        if x.shape[1:] != self.shape[:2] or y.shape != (len(x),) or (y >= 10).any():
            raise ProblemError(
                f"{images} has the shape {x.shape} and {labels} the shape {y.shape}; they must "
                "hold images of 28 x 28 pixels, and one class from 0 to 9 for each"
            )
        return x[..., None], y


class FashionMnist(_IdxImages):
    """Fashion-MNIST: 60,000 and 10,000 images of clothes, 28 x 28 x 1, ten classes.

    H. Xiao et al., "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", 2017 (MIT licence). Debian's package ``dataset-fashion-mnist`` has its four files;
    they are found where it puts them.
    """

    name: ClassVar[str] = "fashion-mnist"
    system_folders = ("/usr/share/datasets/fashion-mnist",)
    class_names = (
        *("T-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    )


class Mnist(_IdxImages):
    """MNIST: 60,000 and 10,000 handwritten digits, 28 x 28 x 1, ten classes.

    Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """

    name: ClassVar[str] = "mnist"
    class_names = tuple("0123456789")
