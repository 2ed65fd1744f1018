"""A layer in a few words, as it stands in tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parsl_tl.architecture import Layer

# What tells layers of a class apart, in this order; all other settings rarely differ.
_TELLING = (
    "units",
    "filters",
    "kernel_size",
    "pool_size",
    "strides",
    "padding",
    "rate",
    "target_shape",
    "axis",
    "activation",
)
_NETWORKS = ("Functional", "Model", "Sequential")
# Settings at these values say nothing.
_SILENT: dict[str, tuple[Any, ...]] = {
    "activation": ("linear", None),
    "padding": ("valid",),
    "axis": (-1, [-1], None),
    "strides": (1, [1], [1, 1], None),
}


def layer_label(layer: Layer) -> str:
    """Returns class and telling settings, such as ``Dense 96 relu``.

    Args:
        layer: of any class; settings that are objects show their class.
    """
    config = layer.config
    if layer.is_input:
        shape = config.get("batch_shape") or config.get("batch_input_shape") or [None]
        return "Input " + "x".join("?" if size is None else str(size) for size in shape[1:])
    if layer.class_name in _NETWORKS:
        return f"{layer.class_name} of {len(config.get('layers', ()))} layers"
    if isinstance(config.get("layer"), Mapping):  # a wrapper, such as TimeDistributed
        return f"{layer.class_name} {config['layer'].get('class_name', '')}".rstrip()
    told = [
        text
        for key in _TELLING
        if key in config
        and config[key] not in _SILENT.get(key, ())
        and (text := _setting(key, config[key]))
    ]
    return " ".join([str(layer.class_name), *told])


def _setting(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("class_name", ""))
    if isinstance(value, list | tuple):
        value = "x".join(str(item) for item in value)
    if key == "strides":
        return f"/{value}"
    return f"axis {value}" if key == "axis" else str(value)
