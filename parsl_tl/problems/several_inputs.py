"""What data sets with several inputs for one number have in common: files, split and recipe."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import NamedArrays, cached_arrays
from parsl_tl.problems.array_files import open_arrays, pick_arrays
from parsl_tl.problems.data import Array, Data
from parsl_tl.problems.data_folder import data_folder
from parsl_tl.problems.plain_pickle import read_pickle
from parsl_tl.problems.prepared import SplitFiles

_PARTS = ("train", "valid", "test")


class SeveralInputs(SplitFiles):
    """Regression of one number from several inputs, judged by R2.

    The folder holds ``training_NAME.npy.gz`` and, if there is one, ``testing_NAME.npy.gz``: a dict
    of ``X``, a list with an array for each input, and ``y``, packed, as the published searches read
    them. Or it holds ``NAME.h5``, ``NAME.npz`` or ``.npy`` files with the arrays ``x_train_0``,
    ``x_train_1``, ..., ``y_train``, and those of the parts ``valid`` and ``test``, if there are.
    Without a ``valid`` part, the last rows of a shuffle are, as in the published searches.

    Args:
        folder: of the files; None looks in the data folder.
        validation: share of the training rows to judge by.
        seed: of the shuffle.

    Raises:
        ProblemError: an argument is out of range, or files are missing or damaged.
    """

    validation: float
    num_inputs: ClassVar[int]

    output_shape = (1,)
    loss = "mse"
    metrics = ("r2",)
    objective = "val_r2"

    def __init__(
        self, *, folder: str | None = None, validation: float = 0.2, seed: int = 42
    ) -> None:
        super().__init__(folder, validation, seed)

    @cached_property
    def input_shape(self) -> Any:  # type: ignore[override]
        """The widths of the inputs, as the files have them."""
        return [array.shape[1:] for array in self._inputs("train")]

    def _inputs(self, part: str) -> tuple[Array, ...]:
        return tuple(self.prepared[f"x_{part}_{number}"] for number in range(self.num_inputs))

    def _load(self) -> Data:
        parts = [part for part in _PARTS if self.prepared.get(f"y_{part}") is not None]
        given: dict[str, Any] = {f"x_{part}": self._inputs(part) for part in parts}
        given |= {f"y_{part}": self.prepared[f"y_{part}"] for part in parts}
        return Data(**given)

    def _prepare(self) -> NamedArrays:
        top = Path(self.folder).expanduser().absolute() if self.folder else data_folder()
        folder = top if self.folder else top / self.name
        packed = [folder / f"{kind}_{self.name}.npy.gz" for kind in ("training", "testing")]
        files = [path for path in packed if path.is_file()]
        if packed[0] in files:
            return self._cached(files, lambda: self._read_dicts(files))
        for path in (folder / f"{self.name}{suffix}" for suffix in (".h5", ".npz")):
            if path.is_file():
                return self._cached([path], lambda path=path: self._read_arrays(path))
        files = sorted(folder.glob("*.npy"))
        if files:
            return self._cached(files, lambda: self._read_arrays(folder))
        raise ProblemError(
            f"problem {self.name!r} has no data in {folder}: neither {packed[0].name} nor "
            f"{self.name}.h5, {self.name}.npz or .npy files; make some of the same form with "
            f"`parsl-tl data make {self.name}`, or name their place with folder=FOLDER"
        )

    def _cached(self, files: Sequence[Path], read: Any) -> NamedArrays:
        arguments = {"split": [self.validation, self.seed]}
        return cached_arrays(files, f"{self.name} 1", arguments, read)

    def _read_dicts(self, files: Sequence[Path]) -> NamedArrays:
        arrays: dict[str, Array] = {}
        for path, part in zip(files, ("train", "test"), strict=False):
            content = _read_dict(path)
            inputs, y = content.get("X"), content.get("y")
            if y is None or not isinstance(inputs, list | tuple) or len(inputs) != self.num_inputs:
                raise ProblemError(
                    f"{path} must hold a dict of X, a list of {self.num_inputs} arrays, and y; "
                    f"it has {sorted(content)}"
                )
            arrays |= self._named(part, inputs, y, path)
        return self._split(arrays)

    def _read_arrays(self, path: Path) -> NamedArrays:
        found = open_arrays(path)
        lower = {name.lower() for name in found}
        arrays: dict[str, Array] = {}
        for part in _PARTS:
            names = [*(f"x_{part}_{number}" for number in range(self.num_inputs)), f"y_{part}"]
            if part == "train" or lower & set(names):
                *inputs, y = pick_arrays(found, names, path)
                arrays |= self._named(part, inputs, y, path)
        return self._split(arrays)

    def _named(self, part: str, inputs: Sequence[Any], y: Any, path: Path) -> dict[str, Array]:
        named = {f"x_{part}_{number}": _as_rows(array, path) for number, array in enumerate(inputs)}
        named[f"y_{part}"] = _as_rows(y, path)
        lengths = {name: len(array) for name, array in named.items()}
        if len(set(lengths.values())) > 1:
            raise ProblemError(f"the arrays of {path} have different numbers of rows: {lengths}")
        return named

    def _split(self, arrays: dict[str, Array]) -> NamedArrays:
        if "y_valid" in arrays:
            return NamedArrays(arrays)
        rows = np.arange(len(arrays["y_train"]))
        np.random.RandomState(self.seed).shuffle(rows)
        curr = int((1 - self.validation) * len(rows))
        for name in [one for one in arrays if "train" in one]:
            array = arrays[name]
            arrays[name.replace("train", "valid")] = array[rows[curr:]]
            arrays[name] = array[rows[:curr]]
        return NamedArrays(arrays)


def _as_rows(array: Any, path: Path) -> Array:
    rows = np.asarray(array)
    if rows.dtype.kind not in "biuf" or rows.ndim not in (1, 2):
        raise ProblemError(
            f"{path} has an array of {rows.dtype}, of the shape {rows.shape}; it must hold rows of "
            "numbers"
        )
    return rows.reshape(len(rows), -1).astype(np.float32, copy=False)


def _read_dict(path: Path) -> Mapping[str, Any]:
    """Reads the one dict that numpy has saved, without running what else a pickle may hold."""
    try:
        content = io.BytesIO(gzip.decompress(path.read_bytes()))
        np.lib.format.read_magic(content)
        _, _, dtype = np.lib.format.read_array_header_1_0(content)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise ProblemError(f"{path} cannot be read: {error}") from error
    if not dtype.hasobject:
        raise ProblemError(f"{path} must hold one dict, not an array of {dtype}")
    saved = read_pickle(content.read(), path, arrays=True)
    found = saved.item() if isinstance(saved, np.ndarray) and saved.ndim == 0 else saved
    if not isinstance(found, dict):
        raise ProblemError(f"{path} must hold one dict, not {type(found).__name__}")
    return {str(name, "ascii") if isinstance(name, bytes) else name: found[name] for name in found}
