"""What is put into a model store, as the native call takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture.keras_state import check_graph
from parsl_tl.errors import InvalidValueError
from parsl_tl.store.fingerprint import check_fingerprint
from parsl_tl.store.model_id import check_model_id
from parsl_tl.store.pinned_reading import Weights
from parsl_tl.store.tensors import dtype_name, to_bytes
from parsl_tl.store.weighted_layers import weighted_layers

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph


def put_request(
    model_id: int,
    graph: ArchitectureGraph,
    weights: Weights,
    quality: float,
    parent: int | None,
    donor: int | None,
    attributes: Mapping[str, Any] | None,
    fingerprint: int,
) -> tuple[Any, ...]:
    """Returns the arguments of the native call, checked; see ``ModelStore.put``."""
    check_graph(graph)
    names = graph.layer_names
    index = {name: i for i, name in enumerate(names)}
    unknown = [name for name in weights if name not in index]
    if unknown:
        raise InvalidValueError(
            f"weights for {unknown[0]!r}, which is no layer of the architecture; "
            "use the stable names of graph.layer_names"
        )
    tensors = []
    for name, arrays in weights.items():
        for given in arrays:
            array = np.asarray(given)
            tensors.append((index[name], dtype_name(array.dtype), array.shape, to_bytes(array)))
    return (
        check_model_id(model_id),
        float(quality),
        None if parent is None else check_model_id(parent),
        None if donor is None else check_model_id(donor),
        check_fingerprint(fingerprint),
        graph.layer_keys,
        names,
        graph.edges.reshape(-1),
        graph.to_json(),
        _to_json(attributes or {}),
        tensors,
        weighted_layers(graph),
    )


def parents_of(
    model_ids: NDArray[np.uint64], positions: NDArray[np.int64] | None
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Returns the parents' ids by their positions, and which models have one.

    Args:
        model_ids: [n].
        positions: [n], of the parent in ``model_ids``; -1 for none, as None is for all.

    Raises:
        InvalidValueError: positions that are none.
    """
    given = np.asarray(positions if positions is not None else np.full(len(model_ids), -1))
    wrong = (given < -1) | (given >= len(model_ids))
    if given.shape != model_ids.shape or wrong.any():
        raise InvalidValueError(
            f"parents holds {given[wrong][0] if wrong.any() else f'{given.shape} values'}; "
            f"one position from 0 to {len(model_ids) - 1}, or -1, is needed for each model"
        )
    has_parent = given >= 0
    return np.where(has_parent, model_ids[given], 0) if len(model_ids) else model_ids, has_parent


def _to_json(attributes: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(attributes))
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            f"attributes must be what JSON can hold ({error}): {attributes!r}"
        ) from error
