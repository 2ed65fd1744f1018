"""CIFAR-10, from the batches that its authors publish."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Array
from parsl_tl.problems.data_folder import data_folder
from parsl_tl.problems.image_classes import ImageClasses
from parsl_tl.problems.plain_pickle import read_pickle

CIFAR10_BATCHES: Final = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_FOLDERS: Final = ("cifar-10-batches-py", "cifar-10-batches-bin")
_ARCHIVES: Final = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
_PIXELS: Final = 32 * 32 * 3


class Cifar10(ImageClasses):
    """CIFAR-10: 50,000 and 10,000 colour images, 32 x 32 x 3, ten classes.

    A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009. The folder holds
    an archive as published (Python's or the binary one), or what is in it.
    """

    name: ClassVar[str] = "cifar10"
    shape = (32, 32, 3)
    class_names = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )

    def _find_files(self) -> Sequence[Path]:
        top = Path(self.folder).expanduser().absolute() if self.folder else None
        folder = top or data_folder() / self.name
        for place in (folder, *(folder / name for name in _FOLDERS)):
            for suffix in ("", ".bin"):
                files = [place / f"{name}{suffix}" for name in CIFAR10_BATCHES]
                if all(path.is_file() for path in files):
                    return files
        for name in _ARCHIVES:
            if (folder / name).is_file():
                return [folder / name]
        raise ProblemError(
            f"problem {self.name!r} has no data in {folder}: neither {' nor '.join(_ARCHIVES)} nor "
            f"all of {', '.join(CIFAR10_BATCHES)}; get it with `parsl-tl data fetch {self.name}`, "
            "or name its place with folder=FOLDER"
        )

    def _read_part(self, files: Sequence[Path], part: str) -> tuple[Array, Array]:
        names = CIFAR10_BATCHES[:5] if part == "train" else CIFAR10_BATCHES[5:]
        batches = [_read_batch(*content) for content in _contents(files, names)]
        pixels = np.concatenate([x for x, _ in batches])
        labels = np.concatenate([y for _, y in batches])
        return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _contents(files: Sequence[Path], names: Sequence[str]) -> list[tuple[Path, bytes]]:
    """Returns the contents of batches, from files or from the archive that has them all."""
    if len(files) > 1:
        return [(path, path.read_bytes()) for path in files if path.name.split(".")[0] in names]
    found = []
    try:
        with tarfile.open(files[0]) as archive:
            for member in archive:
                path = Path(member.name)
                if path.name.split(".")[0] in names and (file := archive.extractfile(member)):
                    suffix = path.suffix or ""
                    found.append((files[0] / f"{path.stem}{suffix}", file.read()))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ProblemError(f"{files[0]} cannot be read: {error}; get it anew") from error
    if len(found) != len(names):
        raise ProblemError(f"{files[0]} has {len(found)} of the batches {', '.join(names)}")
    return sorted(found)


def _read_batch(path: Path, content: bytes) -> tuple[Array, Array]:
    """Returns pixels, channel after channel, and class numbers."""
    if path.suffix == ".bin":
        rows = np.frombuffer(content, np.uint8)
        if len(rows) == 0 or len(rows) % (_PIXELS + 1):
            raise ProblemError(
                f"{path} has {len(rows)} bytes, no multiple of {_PIXELS + 1}; get it anew"
            )
        rows = rows.reshape(-1, _PIXELS + 1)
        return rows[:, 1:], rows[:, 0].astype(np.int32)
    batch = read_pickle(content, path, arrays=True)
    batch = {str(name, "ascii") if isinstance(name, bytes) else name: batch[name] for name in batch}
    pixels, labels = np.asarray(batch["data"]), np.asarray(batch["labels"], np.int32)
    if pixels.shape != (len(labels), _PIXELS):
        raise ProblemError(f"{path} has pixels of the shape {pixels.shape}, {len(labels)} labels")
    return pixels, labels
