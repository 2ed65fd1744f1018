"""The model store: weights, metadata and lineage of every model of a search."""

from parsl_tl.store.embedded import EmbeddedStore
from parsl_tl.store.export import export_keras, load_keras_model
from parsl_tl.store.model_id import format_model_id, parse_model_id
from parsl_tl.store.model_store import Match, ModelStore, PutResult, VerifyReport
from parsl_tl.store.uri import open_store

__all__ = [
    "EmbeddedStore",
    "Match",
    "ModelStore",
    "PutResult",
    "VerifyReport",
    "export_keras",
    "format_model_id",
    "load_keras_model",
    "open_store",
    "parse_model_id",
]
