"""What a store keeps of a whole search in which children store only the layers they trained."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from parsl_tl.population.catalog import evolve_catalog
from parsl_tl.spaces import DenseSkipSpace
from parsl_tl.store import open_store

_NUM_LAYERS = 10
_WINDOW = 100
# Sizes in the format of segments: the header, and what tensors are aligned to.
_HEADER = 64
_ALIGNMENT = 64


def measure_storage(
    folder: Path, num_models: int = 1000, seed: int = 0, width_factor: int = 1
) -> dict[str, Any]:
    """Stores evolved models with frozen prefixes, and looks at the files; gives one row.

    The models are those of ``evolve_catalog`` with a population of 100. A child freezes the layers
    that its donor has, and stores the others with weights of its own; the random models of the
    first population store all. All layers are so many times as wide as usual (16 to 96 units). The
    store stays in the folder, which was empty.
    """
    catalog = evolve_catalog(num_models, seed=seed, window=_WINDOW, num_layers=_NUM_LAYERS)
    units = (16 * width_factor, 96 * width_factor, 16 * width_factor)
    space = DenseSkipSpace(_NUM_LAYERS, units)
    rng = np.random.default_rng([seed, 4])
    count: Counter[str] = Counter()
    with open_store(f"embedded:{folder}") as store:
        for index in range(num_models):
            graph = space.build(catalog.arch_seqs[index].tolist(), (10,), (1,))
            match = store.find_donor(graph) if catalog.parents[index] >= 0 else None
            frozen, donor = (match.layer_names, match.model_id) if match else ((), None)
            weights: dict[str, list[Any]] = {}
            for name, layer in zip(graph.layer_names, graph.layers, strict=True):
                if layer.class_name != "Dense" or layer.build_config is None:
                    continue
                width = int(layer.config["units"])
                kernel = (int(layer.build_config["input_shape"][-1]), width)
                count["full"] += 4 * (kernel[0] + 1) * width
                if name not in frozen:
                    weights[name] = [rng.random(one, np.float32) for one in (kernel, (width,))]
            quality = float(catalog.qualities[index])
            put = store.put(index, graph, weights, quality=quality, parent=donor, donor=donor)
            sizes = [array.nbytes for arrays in weights.values() for array in arrays]
            count["trained"] += sum(sizes)
            count["stored"] += put.bytes_stored
            count["padding"] += sum(-size % _ALIGNMENT for size in sizes)
            count["tensors"] += len(sizes)
            count["segments"] += bool(sizes)
        stats = store.stats()
    in_files = sum(file.stat().st_size for file in folder.rglob("*") if _is_segment(file))
    headers = _HEADER * count["segments"]
    return {
        "models": num_models,
        "units": f"{units[0]}-{units[1]}",
        "tensors": count["tensors"],
        "bytes_trained": count["trained"],
        "bytes_stored": count["stored"],
        "bytes_live": stats["bytes_live"],
        "tensor_overhead_percent": 100 * (count["stored"] / count["trained"] - 1),
        "full_copies_bytes": count["full"],
        "bytes_in_segment_files": in_files,
        "overhead_percent": 100 * (in_files / count["trained"] - 1),
        "bytes_headers": headers,
        "bytes_padding": count["padding"],
        "bytes_directories": in_files - count["stored"] - headers - count["padding"],
        "segments": count["segments"],
        "bytes_log": stats["bytes_log"],
        "bytes_snapshot": stats["bytes_snapshot"],
    }


def _is_segment(path: Path) -> bool:
    """Tells whether a file holds weights: it begins with its format's name."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(6) == b"PTLSEG"


def storage_table(rows: Any) -> Any:
    """Returns the columns that tell most, in millions of bytes."""
    columns = {"bytes_trained": "trained", "bytes_stored": "stored"}
    columns |= {"full_copies_bytes": "full copies", "bytes_in_segment_files": "in files"}
    columns |= {"bytes_log": "log"}
    sizes = (rows[list(columns)] / 1e6).rename(columns=columns)
    overhead = rows["overhead_percent"].rename("files over trained, %")
    return rows[["models", "units"]].join(sizes).join(overhead)
