"""Data of the same form as published files, from a seed: smaller, and with something to learn."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.attn import ATTN_FILES
from parsl_tl.problems.cifar10 import CIFAR10_BATCHES
from parsl_tl.problems.data import Array
from parsl_tl.problems.idx_images import IDX_FILES
from parsl_tl.problems.khan import KHAN_FILES
from parsl_tl.problems.nt3 import NT3_FILES
from parsl_tl.problems.problem import check_count
from parsl_tl.suggestions import did_you_mean

# Inputs of which this share tells something of the target.
_TELLING_SHARE: Final = 0.05
_POSITIVE_SHARE: Final = 0.0361
_TEST_SHARE: Final = 0.2

Make = Callable[[Path, int, "int | None", np.random.Generator], list[Path]]


def make_data(
    name: str, folder: Path, rows: int, columns: int | None = None, seed: int = 0
) -> list[Path]:
    """Writes files of the form that a problem reads.

    Args:
        name: of the problem.
        folder: is made; files of these names are replaced.
        rows: samples in all, of which some are the files' test or validation part.
        columns: width of the (widest) input; None is the published width.
        seed: of the numbers: the same seed writes the same data.

    Returns:
        The files.

    Raises:
        ProblemError: no such problem, too few rows, columns that it does not have, or a folder that
            cannot be written.
    """
    if name not in MAKERS:
        raise ProblemError(
            f"there is nothing to make for {name!r}{did_you_mean(name, MAKERS)}; there is for "
            f"{', '.join(MAKERS)}"
        )
    check_count("--seed", seed, least=0)
    if rows < 50:
        raise ProblemError(f"--rows {rows} must be at least 50, so that every part has some")
    if columns is not None and columns < 20:
        raise ProblemError(f"--columns {columns} must be at least 20, so that some tell the target")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return MAKERS[name](folder, rows, columns, np.random.default_rng(seed))
    except OSError as error:
        raise ProblemError(f"{folder} cannot be written: {error.strerror or error}") from error


def _class_rows(random: np.random.Generator, classes: Array, columns: int) -> Array:
    """Returns normal rows, a part of whose columns are shifted by the class."""
    rows = random.normal(size=(len(classes), columns)).astype(np.float32)
    telling = random.choice(columns, max(4, round(_TELLING_SHARE * columns)), replace=False)
    rows[:, telling] += np.where(classes[:, None] == 1, 1.0, -1.0) * random.uniform(
        0.5, 1.0, len(telling)
    ).astype(np.float32)
    return rows


def _make_nt3(
    folder: Path, rows: int, columns: int | None, random: np.random.Generator
) -> list[Path]:
    import pyarrow as pa
    import pyarrow.compute as pc

    width = columns or 60_483
    classes = np.arange(rows) % 2
    values = np.round(np.exp(_class_rows(random, classes, width)).astype(np.float64), 6)
    num_test = round(_TEST_SHARE * rows)
    paths = [folder / file for file in NT3_FILES]
    for path, part in zip(paths, (slice(num_test, None), slice(num_test)), strict=True):
        with path.open("wb") as file:
            for label, row in zip(classes[part], values[part], strict=True):
                texts = pa.ListArray.from_arrays([0, width], pa.array(row).cast(pa.string()))
                line: str = pc.binary_join(texts, ",")[0].as_py()
                file.write(f"{label},{line}\n".encode())
    return paths


def _make_attn(
    folder: Path, rows: int, columns: int | None, random: np.random.Generator
) -> list[Path]:
    import h5py

    path = folder / ATTN_FILES[0]
    width = columns or 6_212
    counts = {"test": round(0.1 * rows), "val": round(0.1 * rows)}
    classes = np.zeros(rows, np.int64)
    # Positive samples are spread evenly, so that every part has its share.
    step = max(2, round(1 / _POSITIVE_SHARE))
    classes[::step] = 1
    values = _class_rows(random, classes, width)
    first = 0
    with h5py.File(path, "w") as file:
        for part, count in {**counts, "train": rows - sum(counts.values())}.items():
            chosen = slice(first, first + count)
            file.create_dataset(f"X_{part}", data=values[chosen])
            file.create_dataset(f"Y_{part}", data=np.eye(2, dtype=np.float32)[classes[chosen]])
            first += count
    return [path]


def _make_inputs(
    name: str, widths: tuple[int, ...], folder: Path, rows: int, random: np.random.Generator
) -> list[Path]:
    inputs = [random.normal(size=(rows, width)).astype(np.float32) for width in widths]
    y = sum(
        array @ random.normal(size=width) / np.sqrt(width)
        for array, width in zip(inputs, widths, strict=True)
    )
    targets = np.asarray(np.tanh(y) + 0.05 * random.normal(size=rows), np.float32)
    num_test = round(_TEST_SHARE * rows)
    parts = {"training": slice(num_test, None), "testing": slice(num_test)}
    paths = []
    for kind, part in parts.items():
        buffer = io.BytesIO()
        content: Any = {"X": [array[part] for array in inputs], "y": targets[part]}
        np.save(buffer, content, allow_pickle=True)
        paths.append(folder / f"{kind}_{name}.npy.gz")
        # Without a time in it, the same seed gives the same file.
        paths[-1].write_bytes(gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0))
    return paths


def _make_combo(
    folder: Path, rows: int, columns: int | None, random: np.random.Generator
) -> list[Path]:
    wide = columns or 3_839
    return _make_inputs("combo", (min(942, wide), wide, wide), folder, rows, random)


def _make_uno(
    folder: Path, rows: int, columns: int | None, random: np.random.Generator
) -> list[Path]:
    wide = columns or 5_270
    widths = (1, min(942, wide), wide, min(2_048, wide))
    return _make_inputs("uno", widths, folder, rows, random)


def _images(
    random: np.random.Generator, count: int, width: int, *channels: int
) -> tuple[Array, Array]:
    """Returns images with a bright square for each of ten classes, at a place of its own."""
    y = (np.arange(count) % 10).astype(np.uint8)
    x = random.integers(0, 128, (count, width, width, *channels)).astype(np.uint8)
    for label, image in zip(y, x, strict=True):
        top, left = 2 + 12 * (label // 5), 1 + 5 * (label % 5)
        image[top : top + 10, left : left + 5] += 100
    return x, y


def _refuse_columns(columns: int | None, width: int) -> None:
    if columns is not None:
        raise ProblemError(f"images have {width} x {width} pixels; leave --columns out")


def _make_cifar10(
    folder: Path, rows: int, columns: int | None, random: np.random.Generator
) -> list[Path]:
    """Writes the binary form: a class and its pixels, channel after channel."""
    _refuse_columns(columns, 32)
    x, y = _images(random, rows, 32, 3)
    lines = np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(rows, -1)], axis=1)
    paths = [folder / f"{name}.bin" for name in CIFAR10_BATCHES]
    for path, part in zip(paths, np.array_split(lines, len(paths)), strict=True):
        path.write_bytes(part.tobytes())
    return paths


def _make_khan(
    folder: Path, rows: int, columns: int | None, random: np.random.Generator
) -> list[Path]:
    width = columns or 2_308
    classes = np.arange(rows) % 4
    # Each class but the last shifts genes of its own.
    values = np.sum([_class_rows(random, classes == kind, width) for kind in range(3)], axis=0)
    num_test = round(_TEST_SHARE * rows)
    paths = [folder / name for name in KHAN_FILES]
    header = ",".join(f"V{number}" for number in range(1, width + 1))
    for (x_path, y_path), part in (
        (paths[:2], slice(num_test, None)),
        (paths[2:], slice(num_test)),
    ):
        np.savetxt(x_path, values[part], "%.6f", ",", header=header, comments="")
        np.savetxt(y_path, classes[part] + 1, "%d", header="x", comments="")
    return paths


def _make_idx(
    folder: Path, rows: int, columns: int | None, random: np.random.Generator
) -> list[Path]:
    _refuse_columns(columns, 28)
    num_test = rows // 7
    paths = []
    for images, labels, count in (
        (IDX_FILES[0], IDX_FILES[1], rows - num_test),
        (IDX_FILES[2], IDX_FILES[3], num_test),
    ):
        x, y = _images(random, count, 28)
        for name, array in ((images, x), (labels, y)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            paths.append(folder / f"{name}.gz")
            paths[-1].write_bytes(gzip.compress(header + array.tobytes(), 1, mtime=0))
    return paths


MAKERS: Final[Mapping[str, Make]] = {
    "attn": _make_attn,
    "cifar10": _make_cifar10,
    "combo": _make_combo,
    "fashion-mnist": _make_idx,
    "khan": _make_khan,
    "mnist": _make_idx,
    "nt3": _make_nt3,
    "uno": _make_uno,
}
"""By the problem's name."""
