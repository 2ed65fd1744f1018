"""What all methods do once a donor is found: choose layers that fit, and set their weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.keras_state import forget_traces, make_derived_anew
from parsl_tl.architecture.keras_weights import variables_of
from parsl_tl.errors import TransferError
from parsl_tl.store.model_id import format_model_id
from parsl_tl.transfer.method import Transferred
from parsl_tl.transfer.shared_memory import set_weights
from parsl_tl.transfer.weights import layers_with_weights, signature, signature_of_arrays

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from parsl_tl.architecture import ArchitectureGraph

logger = logging.getLogger(__name__)

Shapes = Mapping[str, Sequence[Any] | None]
"""For each layer: shape and dtype of each weight."""


@dataclass(frozen=True)
class Donor:
    """A model that weights can be taken from.

    Attributes:
        model_id: its id.
        layer_names: stable names of the layers that it shares with the candidate.
        lease: whatever keeps it from being freed, as long as it lives.
    """

    model_id: int
    layer_names: Sequence[str]
    lease: object = None


def copy_donor_weights(
    model: keras.Model,
    graph: ArchitectureGraph,
    donor: Donor,
    shapes: Callable[[list[str]], Shapes],
    read: Callable[[list[str]], Mapping[str, list[NDArray[Any]]]],
) -> Transferred:
    """Sets the weights that a donor has: all that fit, or none if something else came.

    Args:
        model: the candidate.
        graph: its graph.
        donor: where the weights are.
        shapes: tells what the donor has for some of its layers, without reading them.
        read: reads layers.

    Raises:
        TransferError: other weights came than were announced; the model is unchanged.
    """
    shared = set(donor.layer_names)
    layers = {
        name: layer for name, layer in layers_with_weights(model, graph).items() if name in shared
    }
    # Shapes first: what does not fit need not be read.
    offered = shapes(list(layers))
    fitting = [name for name in layers if _same(offered.get(name), signature(layers[name]))]
    if len(fitting) < len(layers):
        logger.warning(
            "model %s: %s have equal configs but other weights; not transferred",
            format_model_id(donor.model_id),
            sorted(set(layers) - set(fitting)),
        )
    if not fitting:
        return Transferred(layers_matched=len(donor.layer_names))
    arrays = read(fitting)
    for name in fitting:
        if signature_of_arrays(arrays[name]) != signature(layers[name]):
            raise TransferError(
                f"layer {name!r} of model {format_model_id(donor.model_id)} was announced with the "
                f"weights {signature(layers[name])}, but {signature_of_arrays(arrays[name])} came; "
                "what is stored is damaged"
            )
    fitting = _without_contradictions(fitting, layers, arrays)
    for name in fitting:
        set_weights(layers[name], arrays[name])
    if make_derived_anew(layers[name] for name in fitting):
        forget_traces(model)
    return Transferred(
        donor=donor.model_id,
        layer_names=tuple(fitting),
        num_bytes=sum(array.nbytes for name in fitting for array in arrays[name]),
        layers_matched=len(donor.layer_names),
        lease=donor.lease,
    )


def _without_contradictions(
    names: Sequence[str], layers: Mapping[str, Any], arrays: Mapping[str, list[NDArray[Any]]]
) -> list[str]:
    """Leaves out layers that share a weight for which the donor has two values.

    A layer may be in a model by itself and in a wrapper as well; the donor may have two of them.
    """
    values: dict[int, NDArray[Any]] = {}
    kept = []
    for name in names:
        pairs = list(zip(variables_of(layers[name]), arrays[name], strict=True))
        if any(
            id(variable) in values and values[id(variable)].tobytes() != array.tobytes()
            for variable, array in pairs
        ):
            logger.warning("%s has weights that came with another layer; not transferred", name)
            continue
        values.update((id(variable), array) for variable, array in pairs)
        kept.append(name)
    return kept


def _same(offered: Sequence[Any] | None, wanted: list[tuple[tuple[int, ...], str]]) -> bool:
    if offered is None:
        return False
    return [(tuple(shape), str(dtype)) for shape, dtype in offered] == wanted
