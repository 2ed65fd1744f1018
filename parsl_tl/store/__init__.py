"""The model store: weights, metadata and lineage of every model of a search.

What a name needs is loaded when the name is first used: a server does without numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsl_tl.store.answers import Match as Match
    from parsl_tl.store.answers import PutResult as PutResult
    from parsl_tl.store.answers import VerifyReport as VerifyReport
    from parsl_tl.store.embedded import EmbeddedStore as EmbeddedStore
    from parsl_tl.store.export import export_keras as export_keras
    from parsl_tl.store.export import load_keras_model as load_keras_model
    from parsl_tl.store.model_id import format_model_id as format_model_id
    from parsl_tl.store.model_id import parse_model_id as parse_model_id
    from parsl_tl.store.model_store import ModelStore as ModelStore
    from parsl_tl.store.uri import open_store as open_store

_HOMES = {
    "EmbeddedStore": "parsl_tl.store.embedded",
    "Match": "parsl_tl.store.answers",
    "ModelStore": "parsl_tl.store.model_store",
    "PutResult": "parsl_tl.store.answers",
    "VerifyReport": "parsl_tl.store.answers",
    "export_keras": "parsl_tl.store.export",
    "format_model_id": "parsl_tl.store.model_id",
    "load_keras_model": "parsl_tl.store.export",
    "open_store": "parsl_tl.store.uri",
    "parse_model_id": "parsl_tl.store.model_id",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Loads a public name on first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'parsl_tl.store' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, for completion."""
    return __all__
