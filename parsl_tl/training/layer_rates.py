"""Learning rates that differ from layer to layer, in one optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parsl_tl.training.held_layers import HeldRate


def scale_rates(optimizer: Any, shares: Mapping[int, float | HeldRate]) -> None:
    """Lets a Keras optimizer change some variables by smaller steps.

    Scaled gradients would not do: optimizers such as Adam divide by their size.

    Args:
        optimizer: that a model was compiled with.
        shares: share of the learning rate, by ``id`` of a variable; 1 for those that are not there.
    """
    if not shares:
        return
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # where the loss is scaled
    update = optimizer._backend_update_step

    def update_by_share(gradients: Sequence[Any], variables: Sequence[Any], rate: Any) -> None:
        groups: dict[float | HeldRate, tuple[list[Any], list[Any]]] = {}
        for gradient, variable in zip(gradients, variables, strict=True):
            group = groups.setdefault(shares.get(id(variable), 1.0), ([], []))
            group[0].append(gradient)
            group[1].append(variable)
        for share, group in groups.items():
            update(*group, rate * (share.value if isinstance(share, HeldRate) else share))

    optimizer._backend_update_step = update_by_share
