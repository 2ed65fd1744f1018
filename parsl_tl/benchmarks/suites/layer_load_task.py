"""Reading some layers of a model, cold and warm, beside reading all of them; runs in a task."""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from parsl_tl.benchmarks.core.file_cache import cached_share, drop_from_cache, file_system, sync
from parsl_tl.benchmarks.core.networks import Network
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.benchmarks.formats import LAYER_FORMATS, format_of
from parsl_tl.benchmarks.formats.file_format import (
    LayerArrays,
    compare,
    layer_arrays,
    written_files,
)
from parsl_tl.benchmarks.suites.network_tasks import prepare_network
from parsl_tl.errors import BenchmarkError
from parsl_tl.task_process import reason_of

COLD: Final = "cold"
WARM: Final = "warm"
EVERYTHING: Final = "everything"
# Pages that a file shares with its neighbours, or that are read ahead, may stay.
_COLD_SHARE: Final = 0.02


@dataclass(frozen=True)
class Subset:
    """Which layers are read.

    Attributes:
        names: these; no other attribute counts then.
        count: the first so many of the model's layers with weights.
        share: the first layers, this share of their number, rounded up; above 0, up to 1.
    """

    names: tuple[str, ...] = ()
    count: int | None = None
    share: float | None = None

    @property
    def label(self) -> str:
        """How results name it."""
        if self.names:
            return f"by name: {' '.join(self.names)}"
        if self.count is not None:
            return f"first {self.count}"
        return EVERYTHING if self.share in (None, 1.0) else f"first {self.share:.0%}"

    def of(self, layers: Sequence[str]) -> list[str]:
        """Returns the layers, in the model's order.

        Raises:
            BenchmarkError: there is no such layer, or there are fewer.
        """
        if self.names:
            missing = [name for name in self.names if name not in layers]
            if missing:
                known = ", ".join(layers[:5]) + (" ..." if len(layers) > 5 else "")
                raise BenchmarkError(f"there is no layer {missing[0]!r}; there are {known}")
            return [name for name in layers if name in self.names]
        count = math.ceil((self.share or 1.0) * len(layers)) if self.count is None else self.count
        if count > len(layers):
            raise BenchmarkError(f"there are {len(layers)} layers with weights, not {count}")
        return list(layers[:count])


def load_row(model: str, name: str, subset: Subset, cache: str, repeat: int, **known: Any) -> Row:
    """Returns the row of a read: of one that failed, unless it is known otherwise."""
    row: Row = dict.fromkeys(("time_sec", "model", "format", "subset", "layers", "bytes", "cache"))
    row |= {"successful": False, "result": "", "cached_share": None, "drop_method": None}
    row |= {"file_system": "unknown", "repeat": repeat, "cache": cache}
    return {**row, "model": model, "format": name, "subset": subset.label, **known}


def load_network_layers(
    network: Network,
    name: str,
    subsets: Sequence[Subset],
    repeats: int,
    system_wide: bool,
    folder: Path | None,
) -> list[Row]:
    """Writes a network in one format, and reads subsets of its layers; runs in a task.

    Args:
        network: what is written.
        name: of ``LAYER_FORMATS``.
        subsets: what is read; everything is read in any case.
        repeats: how often.
        system_wide: throw out all caches of the machine before a cold read, if this user may.
        folder: where a temporary folder is made; the system's if None.

    Raises:
        BenchmarkError: the network cannot be built.
        OSError: it cannot be written.
        StoreError: the store cannot be written.
    """
    model, file_format = prepare_network(network), LAYER_FORMATS[name]
    with tempfile.TemporaryDirectory(dir=folder, prefix="parsl-tl-load-") as place:
        path = Path(place) / f"model{file_format.suffix}"
        file_format.save(model, path)
        sync(Path(place))
        read = partial(file_format.read, path, keys=file_format.keys(model))
        row = load_row(network.label, name, Subset(), COLD, 1, file_system=file_system(path))
        subsets = [*subsets, Subset()]
        return list(
            _read_subsets(row, path, read, layer_arrays(model), subsets, repeats, system_wide)
        )


def load_file_layers(
    path: Path, subsets: Sequence[Subset], repeats: int, system_wide: bool
) -> list[Row]:
    """Reads subsets of the layers of a file that is there; runs in a task.

    Args:
        path: of a format that its suffix tells; of a TensorFlow checkpoint the name without
            ``.index``. Layers have the names they have in the file, which for Keras weights are
            in alphabetical order.
        subsets: see ``load_network_layers``, as for the others.
        repeats: how often.
        system_wide: whether all caches go.

    Raises:
        BenchmarkError: the file is missing, or of no known format.
        Exception: as the format has it, if the file is damaged.
    """
    name = format_of(path)
    path = path.with_name(path.name.removesuffix(".index"))
    if not [file for file in written_files(path) if file.exists()]:
        raise BenchmarkError(f"{path} is missing")
    read = partial(LAYER_FORMATS[name].read, path, keys={})
    row = load_row(str(path), name, Subset(), COLD, 1, file_system=file_system(path))
    subsets = [*subsets, Subset()]
    return list(_read_subsets(row, path, read, read(None), subsets, repeats, system_wide))


def _read_subsets(
    row: Row,
    path: Path,
    read: Callable[[Any], LayerArrays],
    expected: LayerArrays,
    subsets: Sequence[Subset],
    repeats: int,
    system_wide: bool,
) -> Iterator[Row]:
    grid = itertools.product(range(1, repeats + 1), subsets, (COLD, WARM))
    for repeat, subset, cache in grid:
        known = {**row, "subset": subset.label, "cache": cache, "repeat": repeat}
        try:
            wanted = {name: expected[name] for name in subset.of(list(expected))}
            if repeat == 1 and cache == COLD:
                read(list(wanted))  # libraries are loaded
            yield known | _read(path, read, wanted, cache == COLD, system_wide)
        except Exception as error:  # whatever a format makes of a damaged file
            yield known | {"result": reason_of(error)}


def _read(
    path: Path,
    read: Callable[[Any], LayerArrays],
    wanted: LayerArrays,
    is_cold: bool,
    system_wide: bool,
) -> Row:
    files, names = written_files(path), list(wanted)
    way = drop_from_cache(files, system_wide) if is_cold else None
    try:
        share = cached_share(files)
    except OSError:  # a system that does not tell
        share = None
    start = time.perf_counter()
    arrays = read(names)
    seconds = time.perf_counter() - start
    compare(wanted, arrays)
    result = "ok"
    if is_cold and share is None:
        result = "ok, but nothing tells whether the pages left memory"
    elif is_cold and share is not None and share > _COLD_SHARE:
        result = f"ok, but {share:.0%} of the pages stayed in memory ({file_system(path)})"
    num_bytes = sum(array.nbytes for own in arrays.values() for array in own)
    row: Row = {"time_sec": seconds, "layers": len(names), "bytes": num_bytes, "successful": True}
    return {**row, "result": result, "cached_share": share, "drop_method": way}
