"""Reading some layers of a model, cold and warm, beside reading all of them; runs in a task."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from parsl_tl.benchmarks.core.file_cache import (
    cached_share,
    drop_from_cache,
    file_system,
    files_under,
    sync,
)
from parsl_tl.benchmarks.core.networks import Network, build_network
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.benchmarks.formats import FILE_FORMATS, format_of
from parsl_tl.benchmarks.formats.file_format import (
    LayerArrays,
    compare,
    layer_arrays,
    written_files,
)
from parsl_tl.benchmarks.formats.weights_h5 import keras_file_keys
from parsl_tl.errors import BenchmarkError
from parsl_tl.task_process import reason_of

STORE: Final = "store"
LOAD_FORMATS: Final = (*FILE_FORMATS, STORE)
COLD: Final = "cold"
WARM: Final = "warm"
EVERYTHING: Final = "everything"
_MODEL_ID: Final = 1
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


class _Source(NamedTuple):
    """Something that layers are read from.

    Attributes:
        label: name of the model.
        format: name of the format.
        path: file or folder.
        read: reads layers by name.
        expected: every layer, to compare with.
    """

    label: str
    format: str
    path: Path
    read: Callable[[Collection[str]], LayerArrays]
    expected: LayerArrays


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
        name: of ``LOAD_FORMATS``.
        subsets: what is read; everything is read in any case.
        repeats: how often.
        system_wide: throw out all caches of the machine before a cold read, if this user may.
        folder: where a temporary folder is made; the system's if None.

    Raises:
        BenchmarkError: the network cannot be built.
        OSError: it cannot be written.
        StoreError: the store cannot be written.
    """
    from parsl_tl.training.runtime import configure_threads

    configure_threads()
    model = build_network(network)
    with tempfile.TemporaryDirectory(dir=folder, prefix="parsl-tl-load-") as place:
        if name == STORE:
            path = Path(place) / "store"
            read = _stored(model, path)
        else:
            path = Path(place) / f"model{FILE_FORMATS[name].suffix}"
            FILE_FORMATS[name].save(model, path)
            read = _file_reader(path, name, keras_file_keys(model))
        sync(Path(place))
        source = _Source(network.label, name, path, read, layer_arrays(model))
        return list(_read_subsets(source, subsets, repeats, system_wide))


def load_file_layers(
    path: Path, subsets: Sequence[Subset], repeats: int, system_wide: bool
) -> list[Row]:
    """Reads subsets of the layers of a file that is there; runs in a task.

    Args:
        path: of a format that its suffix tells; of a TensorFlow checkpoint the name without
            ``.index``. Layers have the names they have in the file, which for Keras weights are
            in alphabetical order.
        subsets: see ``load_network_layers``.
        repeats: see there.
        system_wide: see there.

    Raises:
        BenchmarkError: the file is missing, or of no known format.
        Exception: as the format has it, if the file is damaged.
    """
    name = format_of(path)
    path = path.with_name(path.name.removesuffix(".index"))
    if not [file for file in written_files(path) if file.exists()]:
        raise BenchmarkError(f"{path} is missing")
    expected = FILE_FORMATS[name].read(path, None, {})
    source = _Source(str(path), name, path, _file_reader(path, name, {}), expected)
    return list(_read_subsets(source, subsets, repeats, system_wide))


def _file_reader(
    path: Path, name: str, keys: Mapping[str, str]
) -> Callable[[Collection[str]], LayerArrays]:
    return lambda layers: FILE_FORMATS[name].read(path, layers, keys)


def _stored(model: Any, folder: Path) -> Callable[[Collection[str]], LayerArrays]:
    """Puts the model into a store, by the names that its layers have there; returns a reader."""
    from parsl_tl.architecture import ArchitectureGraph
    from parsl_tl.store import open_store
    from parsl_tl.transfer.weights import layers_with_weights, read_weights

    graph = ArchitectureGraph.from_keras(model)
    layers = layers_with_weights(model, graph)
    with open_store(f"embedded:{folder}") as store:
        store.put(_MODEL_ID, graph, read_weights(layers), quality=0.5)
    stable = {layer.name: name for name, layer in layers.items()}

    def read(names: Collection[str]) -> LayerArrays:
        wanted = [stable[name] for name in names]
        with open_store(f"embedded:{folder}", read_only=True) as store:
            shapes = store.shapes(_MODEL_ID, wanted)
            out = {
                name: [np.empty(shape, dtype) for shape, dtype in shapes[name]] for name in wanted
            }
            store.read(_MODEL_ID, wanted, out=out)
        return {name: list(out[stable[name]]) for name in names}

    return read


def _read_subsets(
    source: _Source, subsets: Sequence[Subset], repeats: int, system_wide: bool
) -> Iterator[Row]:
    layers, kind = list(source.expected), file_system(source.path)
    for repeat in range(1, repeats + 1):
        for subset in [*subsets, Subset()]:
            for cache in (COLD, WARM):
                known = load_row(
                    source.label, source.format, subset, cache, repeat, file_system=kind
                )
                try:
                    names = subset.of(layers)
                    if repeat == 1 and cache == COLD:
                        source.read(names)  # libraries are loaded
                    yield known | _read(source, names, cache == COLD, system_wide, kind)
                except Exception as error:  # whatever a format makes of a damaged file
                    yield known | {"result": reason_of(error)}


def _read(source: _Source, names: list[str], is_cold: bool, system_wide: bool, kind: str) -> Row:
    files = files_under(source.path) if source.path.is_dir() else written_files(source.path)
    way = drop_from_cache(files, system_wide) if is_cold else None
    try:
        share = cached_share(files)
    except OSError:  # a system that does not tell
        share = None
    start = time.perf_counter()
    arrays = source.read(names)
    seconds = time.perf_counter() - start
    compare({name: source.expected[name] for name in names}, arrays)
    result = "ok"
    if is_cold and share is None:
        result = "ok, but nothing tells whether the pages left memory"
    elif is_cold and share is not None and share > _COLD_SHARE:
        result = f"ok, but {share:.0%} of the pages stayed in memory ({kind})"
    return {
        "time_sec": seconds,
        "layers": len(names),
        "bytes": sum(array.nbytes for own in arrays.values() for array in own),
        "successful": True,
        "result": result,
        "cached_share": share,
        "drop_method": way,
    }
