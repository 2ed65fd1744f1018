"""Search spaces by name: built in, registered by entry point, or ``module:attribute``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from parsl_tl.errors import SpaceError
from parsl_tl.imports import is_import_name, make_object
from parsl_tl.registry import Registry
from parsl_tl.spaces.keras_function import KerasFunctionSpace, is_keras_function, takes_inputs
from parsl_tl.spaces.shapes import Shapes
from parsl_tl.spaces.space import SearchSpace

ENTRY_POINT_GROUP = "parsl_tl.spaces"
_REGISTRY = Registry(
    "search space",
    ENTRY_POINT_GROUP,
    SpaceError,
    {
        "conv-cells": "parsl_tl.spaces.conv_cells:ConvCellsSpace",
        "dense-skip": "parsl_tl.spaces.dense_skip:DenseSkipSpace",
        "feed-forward": "parsl_tl.spaces.feed_forward:FeedForwardSpace",
        "lenet": "parsl_tl.spaces.lenet:LeNetSpace",
        "nasbench201": "parsl_tl.spaces.nasbench201:NASBench201Space",
        "nt3": "parsl_tl.spaces.nt3:NT3Space",
        "one-layer": "parsl_tl.spaces.one_layer:OneLayerSpace",
        "uno": "parsl_tl.spaces.uno:UnoSpace",
    },
)


def list_spaces() -> list[str]:
    """Returns the names that ``get_space`` knows."""
    return _REGISTRY.names()


def arguments_for(name: str, kwargs: Mapping[str, Any], input_shape: Shapes) -> dict[str, Any]:
    """Returns the arguments of a search space for a problem.

    A function that builds on the problem's inputs gets their shape, so that its choices are looked
    for with what it will be run with.

    Args:
        name: of the space, see ``get_space``.
        kwargs: arguments that were given.
        input_shape: the problem's.

    Raises:
        SpaceError: an unknown name.
    """
    found = _find(name)
    if not is_keras_function(found) or not takes_inputs(found):
        return dict(kwargs)
    return {"input_shape": input_shape, **kwargs}


def get_space(name: str, **kwargs: Any) -> SearchSpace:
    """Makes a search space.

    Args:
        name: a name of ``list_spaces``, or ``module:attribute`` or ``file.py:attribute`` of a
            ``SearchSpace`` class, of a function that returns a space, or of one that builds Keras
            models: ``build(hp, inputs, head)``, or a Keras Tuner hypermodel ``build_model(hp)``.
        **kwargs: its arguments, such as ``num_layers=10``.

    Raises:
        SpaceError: an unknown name, or arguments that the space does not take.
    """
    found = _find(name)
    if not callable(found):
        raise SpaceError(f"{name!r} is {found!r}; it must be a SearchSpace class or make a space")
    what = f"search space {name!r}"
    if is_keras_function(found):
        found = partial(KerasFunctionSpace, found)
    space = make_object(found, kwargs, what, SpaceError)
    if not isinstance(space, SearchSpace):
        raise SpaceError(f"{name!r} gives a {type(space).__name__}, which is no SearchSpace")
    space.check_choices()
    return space


def _find(name: str) -> Any:
    if is_import_name(name):  # its module may load TensorFlow, which greets at length
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return _REGISTRY.find(name)
