"""What a store keeps of a whole search in which children store only the layers they trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.benchmarks.core.catalog import evolve_catalog
from parsl_tl.benchmarks.formats.bench_model import Array, LayerWeights
from parsl_tl.spaces import DenseSkipSpace
from parsl_tl.store import ModelStore, open_store

_NUM_LAYERS = 10
_WINDOW = 100
# Sizes in the format of segments: the header, and what tensors are aligned to.
_HEADER = 64
_ALIGNMENT = 64


@dataclass
class _Count:
    """Sums over the models; bytes of weights unless the name says otherwise."""

    trained: int = 0
    reported: int = 0
    full: int = 0
    padding: int = 0
    segments: int = 0
    tensors: int = 0


def measure_storage(
    folder: Path,
    num_models: int = 1000,
    seed: int = 0,
    width_factor: int = 1,
) -> dict[str, Any]:
    """Stores evolved models with frozen prefixes, and looks at the files.

    The models are those of ``evolve_catalog`` with a population of 100. A child freezes the layers
    that its donor has, and stores the others with weights of its own; the random models of
    the first population store all.

    Args:
        folder: an empty one; the store stays there.
        num_models: how many.
        seed: of architectures and weights.
        width_factor: how many times as wide as usual (16 to 96 units) all layers are.

    Returns:
        One row: ``models``, ``units`` (smallest and largest width), ``tensors``,
        ``bytes_trained`` (arrays given to ``put``), ``bytes_stored`` (what ``put`` reported),
        ``bytes_live`` (``stats``), ``tensor_overhead_percent`` (of stored over trained),
        ``full_copies_bytes`` (every model whole), ``bytes_in_segment_files``,
        ``overhead_percent`` (of the files over trained), of which ``bytes_headers``,
        ``bytes_padding`` (alignment) and ``bytes_directories`` (all the rest), ``segments``, and
        beside the segments ``bytes_log`` and ``bytes_snapshot``.
    """
    catalog = evolve_catalog(num_models, seed=seed, window=_WINDOW, num_layers=_NUM_LAYERS)
    units = (16 * width_factor, 96 * width_factor, 16 * width_factor)
    space = DenseSkipSpace(_NUM_LAYERS, units)
    rng = np.random.default_rng([seed, 4])
    count = _Count()
    with open_store(f"embedded:{folder}") as store:
        for index in range(num_models):
            graph = space.build(catalog.arch_seqs[index].tolist(), (10,), (1,))
            is_child = bool(catalog.parents[index] >= 0)
            _store(store, index, graph, float(catalog.qualities[index]), is_child, rng, count)
        stats = store.stats()
    in_files = sum(file.stat().st_size for file in _segment_files(folder))
    headers = _HEADER * count.segments
    return {
        "models": num_models,
        "units": f"{units[0]}-{units[1]}",
        "tensors": count.tensors,
        "bytes_trained": count.trained,
        "bytes_stored": count.reported,
        "bytes_live": stats["bytes_live"],
        "tensor_overhead_percent": 100 * (count.reported / count.trained - 1),
        "full_copies_bytes": count.full,
        "bytes_in_segment_files": in_files,
        "overhead_percent": 100 * (in_files / count.trained - 1),
        "bytes_headers": headers,
        "bytes_padding": count.padding,
        "bytes_directories": in_files - count.reported - headers - count.padding,
        "segments": count.segments,
        "bytes_log": stats["bytes_log"],
        "bytes_snapshot": stats["bytes_snapshot"],
    }


def _store(
    store: ModelStore,
    model_id: int,
    graph: ArchitectureGraph,
    quality: float,
    is_child: bool,
    rng: np.random.Generator,
    count: _Count,
) -> None:
    shapes = weight_shapes(graph)
    match = store.find_donor(graph) if is_child else None
    frozen = set(match.layer_names) if match is not None else set()
    weights: LayerWeights = {
        name: [rng.random(shape, np.float32) for shape in own]
        for name, own in shapes.items()
        if name not in frozen
    }
    donor = match.model_id if match is not None else None
    result = store.put(model_id, graph, weights, quality=quality, parent=donor, donor=donor)
    arrays: list[Array] = [array for own in weights.values() for array in own]
    count.trained += sum(array.nbytes for array in arrays)
    count.reported += result.bytes_stored
    count.full += sum(4 * int(np.prod(shape)) for own in shapes.values() for shape in own)
    count.padding += sum(-array.nbytes % _ALIGNMENT for array in arrays)
    count.tensors += len(arrays)
    count.segments += bool(arrays)


def weight_shapes(graph: ArchitectureGraph) -> dict[str, list[tuple[int, ...]]]:
    """Returns the shapes of kernel and bias of each dense layer, by stable name."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for name, layer in zip(graph.layer_names, graph.layers, strict=True):
        if layer.class_name == "Dense":
            assert layer.build_config is not None
            units = int(layer.config["units"])
            found[name] = [(int(layer.build_config["input_shape"][-1]), units), (units,)]
    return found


def _segment_files(folder: Path) -> list[Path]:
    """Returns the files of weights; each begins with its format's name."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                if file.read(6) == b"PTLSEG":
                    found.append(path)
    return found


def storage_table(rows: Any) -> Any:
    """Returns the columns that tell most, in millions of bytes."""
    table = rows[["models", "units"]].copy()
    for title, column in (
        ("trained", "bytes_trained"),
        ("stored", "bytes_stored"),
        ("full copies", "full_copies_bytes"),
        ("in files", "bytes_in_segment_files"),
        ("log", "bytes_log"),
    ):
        table[title] = rows[column] / 1e6
    table["files over trained, %"] = rows["overhead_percent"]
    return table
