"""Reading the weights of a model that is pinned: nothing frees them meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError
from parsl_tl.events import annotate, is_recording
from parsl_tl.store.model_id import format_model_id

if TYPE_CHECKING:
    from parsl_tl._native import PinnedModel, RemoteModel

Arrays = list[NDArray[np.generic]]
Weights = Mapping[str, Sequence[NDArray[np.generic]]]


def shapes_of(
    pinned: PinnedModel | RemoteModel, layer_names: list[str] | None
) -> dict[str, list[tuple[tuple[int, ...], str]]]:
    """Returns ``(shape, dtype name)`` of each weight, by layer name, without reading any.

    Args:
        pinned: a model of the engine, or of servers.
        layer_names: which layers; all that have weights when None.
    """
    return {
        name: [(shape, dtype.name) for dtype, shape in tensors]
        for name, tensors in pinned.types(layer_names)
    }


def read_layers(
    pinned: PinnedModel | RemoteModel, layer_names: list[str] | None, out: Weights | None
) -> dict[str, Arrays]:
    """Reads the weights of layers; see ``ModelStore.read``.

    Args:
        pinned: a model of the engine, or of servers.
        layer_names: which layers; all that have weights when None.
        out: arrays to copy into; read-only views are returned when None.
    """
    read = pinned.views(layer_names) if out is None else _read_into(pinned, layer_names, out)
    if is_recording():
        num_bytes = sum(array.nbytes for arrays in read.values() for array in arrays)
        annotate(model_id=format_model_id(pinned.model_id), bytes=num_bytes)
    return read


def _read_into(
    pinned: PinnedModel | RemoteModel, names: list[str] | None, out: Weights
) -> dict[str, Arrays]:
    """Copies layers into the caller's arrays, none of which is touched unless all fit."""
    targets: dict[str, Arrays] = {}
    for name, stored in pinned.types(names):
        targets[name] = list(out.get(name, ()))
        given = [(target.dtype, target.shape) for target in targets[name]]
        if stored != given:
            raise InvalidValueError(
                f"out[{name!r}] holds {_show(given)}, but the stored arrays are {_show(stored)}; "
                "store.shapes(model_id) tells what to allocate"
            )
        if not all(target.flags.writeable for target in targets[name]):
            raise InvalidValueError(f"out[{name!r}] holds a read-only array; give one to write to")
    direct: list[str] = []
    others: list[str] = []
    for name, arrays in targets.items():
        contiguous = all(array.flags.c_contiguous for array in arrays)
        (direct if contiguous else others).append(name)
    memory = [[array.reshape(-1).view(np.uint8) for array in targets[name]] for name in direct]
    pinned.copy_into(direct, memory)
    for name, views in pinned.views(others).items():
        for view, target in zip(views, targets[name], strict=True):
            np.copyto(target, view)
    return targets


def _show(types: list[tuple[np.dtype[Any], tuple[int, ...]]]) -> str:
    return str([f"{dtype.name}{list(shape)}" for dtype, shape in types])
