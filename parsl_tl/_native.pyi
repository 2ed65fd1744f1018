"""The C++ side of parsl_tl: prefix hashes and the model store.

``tests/test_native_stubs.py`` compares names and arguments with those of the compiled module.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

PYARROW_VERSION: str
PROTOCOL_VERSION: int

def set_errors(errors: ModuleType) -> None: ...
def load_keeping_signals(path: str) -> None: ...
def exchange_trace(context: bytes) -> bytes: ...

# Hashes; arrays are flat (CSR), see cpp-store/engine/prefix_hash.hpp and canonical_order.hpp.

def prefix_hashes(
    layer_starts: ArrayLike,
    digests: ArrayLike,
    call_starts: ArrayLike,
    call_digests: ArrayLike,
    input_starts: ArrayLike,
    inputs: ArrayLike,
) -> NDArray[np.uint64]: ...
def canonical_order(
    layer_starts: ArrayLike,
    call_starts: ArrayLike,
    input_starts: ArrayLike,
    inputs: ArrayLike,
    output_starts: ArrayLike,
    outputs: ArrayLike,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def layer_keys(layer_starts: ArrayLike, prefix_hashes: ArrayLike) -> NDArray[np.uint64]: ...
def combine(words: ArrayLike) -> int: ...
def digest(data: str | bytes) -> int: ...

_Text = tuple[Sequence[str], Sequence[int]]  # pieces, and what stands between them

class KerasJsonLines:
    def __init__(
        self, layers: Sequence[tuple[str, Sequence[str], Sequence[int]]], head: str, foot: _Text
    ) -> None: ...
    def write(
        self,
        layer_starts: ArrayLike,
        hashes: ArrayLike,
        templates: ArrayLike,
        edge_starts: ArrayLike,
        edges: ArrayLike,
    ) -> bytes: ...

class PrefixIndex:
    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def add(
        self,
        ids: ArrayLike,
        layer_starts: ArrayLike,
        keys: ArrayLike,
        qualities: ArrayLike,
        sequences: ArrayLike,
        fingerprints: ArrayLike,
    ) -> None: ...
    def remove(self, model_id: int) -> None: ...
    def best(
        self,
        layer_starts: ArrayLike,
        keys: ArrayLike,
        fingerprints: set[int] | None,
        threads: int,
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64], NDArray[np.uint64]]: ...
    def num_bytes(self) -> int: ...

# Stores.

class PutResult:
    @property
    def bytes_stored(self) -> int: ...
    @property
    def layers_stored(self) -> int: ...
    @property
    def layers_inherited(self) -> int: ...

class CompactReport:
    @property
    def segments_rewritten(self) -> int: ...
    @property
    def bytes_freed(self) -> int: ...

class VerifyReport:
    @property
    def models(self) -> int: ...
    @property
    def tensors(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def problems(self) -> list[str]: ...

_Dtype = np.dtype[Any]
_Shape = tuple[int, ...]

class _Model:
    @property
    def model_id(self) -> int: ...
    @property
    def quality(self) -> float: ...
    def layers(self) -> list[tuple[str, int, int, int, list[tuple[str, _Shape]]]]: ...
    def layer_bytes(self) -> dict[int, int]: ...
    def views(self, names: Sequence[str] | None) -> dict[str, list[NDArray[Any]]]: ...
    def types(
        self, names: Sequence[str] | None
    ) -> list[tuple[str, list[tuple[_Dtype, _Shape]]]]: ...
    def copy_into(
        self, names: Sequence[str], targets: Sequence[Sequence[NDArray[np.uint8]]]
    ) -> None: ...

class PinnedModel(_Model): ...
class RemoteModel(_Model): ...

class _ModelDescription(TypedDict):
    model_id: int
    quality: float
    parent: int | None
    donor: int | None
    fingerprint: int
    created_ns: int
    layers: list[tuple[str, int, int]]
    bytes_owned: int
    bytes_total: int
    attributes: str

_ScoreBy = Literal["layers", "bytes", "weights"]

class _Store:
    def put(
        self,
        model_id: int,
        quality: float,
        parent: int | None,
        donor: int | None,
        fingerprint: int,
        layer_keys: ArrayLike,
        layer_names: Sequence[str],
        edges: ArrayLike,
        architecture: str,
        attributes: str,
        tensors: Sequence[tuple[int, str, Sequence[int], NDArray[np.uint8]]],
        weighted: tuple[Sequence[int], Sequence[int]] | None = None,
    ) -> PutResult: ...
    def retire(self, model_id: int) -> int: ...
    def put_architectures(
        self,
        model_ids: ArrayLike,
        qualities: ArrayLike,
        parents: ArrayLike,
        has_parent: ArrayLike,
        layer_starts: ArrayLike,
        prefix_hashes: ArrayLike,
        class_ids: ArrayLike,
        class_names: Sequence[str],
        edge_starts: ArrayLike,
        edges: ArrayLike,
        fingerprints: ArrayLike,
    ) -> None: ...
    def find_donor(
        self,
        layer_keys: ArrayLike,
        weights: ArrayLike,
        by: _ScoreBy,
        quality_rate: float,
        min_quality: float | None,
        exclude: set[int],
        fingerprints: set[int] | None,
    ) -> PinnedModel | RemoteModel | None: ...
    def find_donors(
        self,
        layer_keys: ArrayLike,
        starts: ArrayLike,
        weights: ArrayLike,
        by: _ScoreBy,
        quality_rate: float,
        min_quality: float | None,
        exclude: set[int],
        fingerprints: set[int] | None,
        threads: int,
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64]]: ...
    def compact(self) -> CompactReport: ...
    def fold(self) -> None: ...
    def num_models(self) -> int: ...
    def pin(self, model_id: int) -> PinnedModel | RemoteModel: ...
    def model(self, model_id: int) -> _ModelDescription: ...
    def architecture(self, model_id: int) -> str: ...
    def ancestors(self, model_id: int) -> list[int]: ...
    def descendants(self, model_id: int) -> list[int]: ...
    def reference_count(self, owner: int, layer_key: int) -> int: ...
    def contains(self, model_id: int) -> bool: ...
    def models(self) -> list[tuple[object, object]]: ...
    def stats(self) -> dict[str, int]: ...
    def verify(self) -> VerifyReport: ...
    def close(self) -> None: ...

class Engine(_Store):
    def __init__(
        self,
        folder: str,
        read_only: bool = False,
        sync: bool = False,
        checksums: bool = True,
        compression: str | None = None,
        shared: bool = False,
        damaged: bool = False,
    ) -> None: ...
    @property
    def compression(self) -> str: ...
    @property
    def folder(self) -> str: ...
    @property
    def store(self) -> str: ...
    @property
    def follows(self) -> bool: ...
    def models_lacking_segments(self) -> list[int]: ...
    def stop_following(self) -> None: ...
    def take_warnings(self) -> list[str]: ...

class RemoteStore(_Store):
    def __init__(
        self,
        channels: Sequence[Channel],
        addresses: Sequence[str],
        token: bytes | None,
        timeout: float,
        retry_seconds: float,
        read_only: bool,
        maps_segments: bool,
        replica_channels: Sequence[Channel],
        replica_addresses: Sequence[str],
    ) -> None: ...
    def store_ids(self) -> list[str]: ...
    def release_orphans(self) -> int: ...
    def is_mapped(self, server: int) -> bool: ...
    def is_stood_in_for(self, server: int) -> bool: ...

class _Adopted(TypedDict):
    before: list[str | None]
    stores: list[str]
    lost_models: list[int]
    lost_holds: list[int]

def adopt(
    channels: Sequence[Channel],
    addresses: Sequence[str],
    token: bytes | None,
    timeout: float,
    retry_seconds: float,
    only_look: bool,
) -> _Adopted: ...

# Servers, and what carries requests to them.

class Channel: ...

class Listener:
    @property
    def address(self) -> str: ...
    def stop(self, seconds: float) -> None: ...

class Handler: ...

class SpanLog:
    def __init__(self, path: str, resource: str) -> None: ...
    def take_failure(self) -> str: ...

class Following:
    def __init__(
        self,
        folder: str,
        home: Engine,
        budget: int | None,
        replicates: bool,
        most_pulling: int,
    ) -> None: ...
    def follow(
        self,
        name: str,
        channels: Sequence[Channel],
        addresses: Sequence[str],
        token: bytes | None,
        timeout: float,
    ) -> None: ...
    def reroute(
        self,
        name: str,
        channels: Sequence[Channel],
        addresses: Sequence[str],
        token: bytes | None,
    ) -> None: ...
    def stop(self) -> None: ...

def copy_store(
    channels: Sequence[Channel],
    addresses: Sequence[str],
    token: bytes | None,
    timeout: float,
    folder: str,
) -> list[str]: ...

class Server(Handler):
    def __init__(
        self,
        engine: Engine,
        token: bytes | None,
        version: str,
        durability: str,
        read_only: bool = False,
        checksums: bool = True,
        memory_limit: int = 0,
        keeps_in_memory: bool = False,
        spans: SpanLog | None = None,
        following: Following | None = None,
    ) -> None: ...
    def request_stop(self) -> None: ...
    def wait_for_stop(self, seconds: float) -> bool: ...

class ServerConnection:
    def __init__(
        self,
        channel: Channel,
        address: str,
        token: bytes | None,
        timeout: float,
        retry_seconds: float,
    ) -> None: ...
    def ping(self) -> None: ...
    def stop(self) -> None: ...
    def followed(self) -> list[dict[str, Any]]: ...
    def status(self) -> dict[str, Any]: ...
