"""How the learning rate changes while a candidate is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.errors import InvalidValueError
from parsl_tl.suggestions import check_names, did_you_mean

if TYPE_CHECKING:
    import keras

SCHEDULES: Final[Mapping[str, Mapping[str, Any]]] = {
    "constant": {"warm_up": 0},
    "cosine": {"warm_up": 0, "last": 0.0},
    "reduce-on-plateau": {"patience": 5, "factor": 0.5, "min_rate": 0.0},
}
"""Schedules by name, with their arguments and what these are by default.

``warm_up`` is the number of epochs in which the rate rises to its full value, ``last`` the share of
it that is left at the end. ``patience`` is the number of epochs without a better objective
after which the rate is multiplied by ``factor``, down to ``min_rate``.
"""

Schedule = str | Mapping[str, Any]


def read_schedule(schedule: Schedule) -> dict[str, Any]:
    """Returns a schedule with all its arguments.

    Args:
        schedule: a name of ``SCHEDULES``, or a mapping with ``name`` and arguments.

    Raises:
        InvalidValueError: there is no such schedule, or an argument can never work.
    """
    said: dict[str, Any] = {"name": schedule} if isinstance(schedule, str) else dict(schedule)
    name = str(said.pop("name", None))
    if name not in SCHEDULES:
        raise InvalidValueError(
            f"schedule {name!r} is none of {', '.join(SCHEDULES)}{did_you_mean(name, SCHEDULES)}"
        )
    check_names(said, SCHEDULES[name], f"schedule {name!r}")
    values = {**SCHEDULES[name], **said}
    for key, value in values.items():
        whole = key in ("warm_up", "patience")
        number = isinstance(value, int) if whole else isinstance(value, int | float)
        top = 1 if key in ("factor", "last") else math.inf
        if isinstance(value, bool) or not number or not 0 <= value <= top:
            raise InvalidValueError(
                f"{key}={value!r} of schedule {name!r} must be "
                f"{'a whole number' if whole else 'a number'} of at least 0"
                f"{' and at most 1' if top == 1 else ''}"
            )
    return {"name": name, **values}


def schedule_callback(
    schedule: Schedule, learning_rate: float, epochs: int, objective: str
) -> keras.callbacks.Callback:
    """Makes the Keras callback that sets the learning rate.

    It counts the epochs of a whole training, so that the rate goes on where it was when a model is
    compiled anew half way.

    Args:
        schedule: see ``read_schedule``.
        learning_rate: the full rate.
        epochs: of the training at most.
        objective: what a problem calls it, such as ``"val_accuracy"`` or ``"-val_loss"``.
    """
    import keras

    values = read_schedule(schedule)
    if values["name"] == "reduce-on-plateau":
        return keras.callbacks.ReduceLROnPlateau(
            monitor=objective.removeprefix("-"),
            mode="min" if objective.startswith("-") else "max",
            patience=values["patience"],
            factor=values["factor"],
            min_lr=values["min_rate"],
        )
    warm_up, last = int(values["warm_up"]), float(values.get("last", 1.0))

    def rate(epoch: int, _rate: float) -> float:
        if epoch < warm_up:
            return learning_rate * (epoch + 1) / (warm_up + 1)
        share = (epoch - warm_up) / max(1, epochs - warm_up)
        return learning_rate * (last + (1 - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2)

    return keras.callbacks.LearningRateScheduler(rate)
