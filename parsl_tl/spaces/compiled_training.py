"""What a compiled Keras model says of its training."""

from __future__ import annotations

from typing import Any

from parsl_tl.errors import SpaceError

# Of every optimizer, and told apart from its arguments.
_NOT_ARGUMENTS = frozenset({"name", "learning_rate"})


def training_of(model: Any, space: str) -> dict[str, Any]:
    """Returns the optimizer of a compiled model by the names of a job's training keys.

    Args:
        model: a ``keras.Model``.
        space: the name of its space, for messages.

    Returns:
        ``optimizer`` and ``learning_rate``, and ``optimizer_args`` that differ from the defaults;
        nothing if the model is not compiled. Its loss and metrics are the problem's matter.

    Raises:
        SpaceError: an optimizer or a learning rate that cannot be told in words and numbers.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return {}
    import keras

    kind = type(optimizer)
    if getattr(keras.optimizers, kind.__name__, None) is not kind:
        raise SpaceError(
            f"the model of space {space!r} is compiled with {kind.__name__}, which is no optimizer "
            "of Keras; compile it with one of keras.optimizers"
        )
    config = optimizer.get_config()
    rate = config["learning_rate"]
    if not isinstance(rate, int | float):
        raise SpaceError(
            f"the model of space {space!r} is compiled with a learning rate that is a schedule; "
            "compile it with a number, and give the problem a schedule"
        )
    usual = kind().get_config()
    arguments = {
        key: value
        for key, value in config.items()
        if key not in _NOT_ARGUMENTS and value != usual.get(key)
    }
    told: dict[str, Any] = {"optimizer": kind.__name__.lower(), "learning_rate": _plain(rate)}
    return {**told, "optimizer_args": arguments} if arguments else told


def _plain(rate: float) -> float:
    # Keras keeps it in single precision: 0.001 comes back as 0.0010000000474974513.
    return float(f"{rate:.7g}")
