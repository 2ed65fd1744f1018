"""Transfer through Redis: a catalog of records, and one hash of tensors per model."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from parsl_tl.errors import (
    InvalidValueError,
    ModelNotFoundError,
    StoreError,
    StoreFullError,
    StoreUnreachableError,
    TransferError,
)
from parsl_tl.store.model_id import format_model_id
from parsl_tl.store.tensors import restored, to_bytes
from parsl_tl.transfer.catalog_transfer import CatalogTransfer
from parsl_tl.transfer.client_catalog import DonorBy
from parsl_tl.transfer.donor_weights import Donor, copy_donor_weights
from parsl_tl.transfer.method import Transferred
from parsl_tl.transfer.model_record import ModelRecord

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from parsl_tl.architecture import ArchitectureGraph

# A server that does not answer for this long is away.
_TIMEOUT_SECONDS = 10.0
# Redis keeps no longer values.
_MOST_BYTES = 512 * 1024 * 1024

# Workers are long-lived, and a connection must not be shared with a forked process.
_clients: dict[tuple[int, str], Any] = {}
_lock = threading.Lock()


class RedisTransfer(CatalogTransfer):
    """Every model is kept whole, under keys of its own. Conforms to ``TransferMethod``.

    The catalog is one hash from ids to records; the client compares the candidate with all of
    them, and learns of new ones before every transfer. The tensors of a donor are read by one
    command, so that none of them can go meanwhile.
    """

    name = "redis"
    needs = "url"

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        prefix: str = "parsl_tl",
        donor: DonorBy = "search",
        min_quality: float | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            url: ``redis://host:port/db``, ``rediss://...``, or ``unix:///path``.
            prefix: of all keys, so that searches can share a server.
            donor: ``search`` for the longest prefix, ``parent`` for the candidate's parent.
            min_quality: models of less quality are no donors.

        Raises:
            InvalidValueError: another ``donor``, or a URL of another kind.
            TransferError: the package redis is not installed.
        """
        try:
            import redis
        except ImportError as error:
            raise TransferError(
                "transfer method 'redis' needs a package: pip install 'parsl-tl[redis]'"
            ) from error
        super().__init__(url, donor, min_quality)
        try:
            redis.connection.parse_url(url)
        except ValueError as error:
            raise InvalidValueError(f"url={url!r}: {error}") from error
        self.url = url
        self.prefix = prefix

    def list_ids(self) -> list[int]:
        """See ``CatalogTransfer.list_ids``."""
        with self._asking() as client:
            return [int(field, 16) for field in client.hkeys(self._catalog_key)]

    def load_records(self, model_ids: list[int]) -> dict[int, ModelRecord]:
        """See ``CatalogTransfer.load_records``."""
        fields = [format_model_id(model_id) for model_id in model_ids]
        with self._asking() as client:
            texts = client.hmget(self._catalog_key, fields)
        return {
            model_id: ModelRecord.from_json(text, f"{field} in {self._catalog_key}")
            for model_id, field, text in zip(model_ids, fields, texts, strict=True)
            if text is not None
        }

    def take_from(
        self, donor: Donor, record: ModelRecord, model: keras.Model, graph: ArchitectureGraph
    ) -> Transferred:
        """See ``CatalogTransfer.take_from``."""
        return copy_donor_weights(
            model, graph, donor, lambda _: record.shapes, lambda names: self._read(record, names)
        )

    def write(
        self,
        record: ModelRecord,
        model: keras.Model,
        layers: Mapping[str, Any],
        weights: Mapping[str, list[NDArray[Any]]],
    ) -> bool:
        """See ``CatalogTransfer.write``."""
        field = format_model_id(record.model_id)
        tensors = {
            f"{name}/{index}": _as_bytes(array)
            for name, arrays in weights.items()
            for index, array in enumerate(arrays)
        }
        for name, value in tensors.items():
            if value.nbytes > _MOST_BYTES:
                raise StoreError(
                    f"{name} of model {field} has {value.nbytes:,} bytes; Redis keeps values of "
                    f"at most {_MOST_BYTES:,}. Use another transfer method"
                )
        with self._asking() as client:
            if tensors:
                client.hset(self._tensors_key(record.model_id), mapping=tensors)
            try:
                return bool(client.hsetnx(self._catalog_key, field, record.to_json()))
            except Exception:
                client.unlink(self._tensors_key(record.model_id))
                raise

    def remove(self, record: ModelRecord) -> int:
        """See ``CatalogTransfer.remove``."""
        with self._asking() as client, client.pipeline(transaction=True) as pipeline:
            pipeline.hdel(self._catalog_key, format_model_id(record.model_id))
            pipeline.unlink(self._tensors_key(record.model_id))
            pipeline.execute()
        return record.num_bytes

    def close(self) -> None:
        """Closes this process's connection; a later call opens it anew."""
        with _lock:
            client = _clients.pop((os.getpid(), self.url), None)
        if client is not None:
            client.close()
        super().close()

    def __repr__(self) -> str:
        return f"RedisTransfer({self.url!r}, prefix={self.prefix!r}, donor={self.donor!r})"

    @property
    def _catalog_key(self) -> str:
        return f"{self.prefix}:models"

    def _tensors_key(self, model_id: int) -> str:
        return f"{self.prefix}:tensors:{format_model_id(model_id)}"

    def _read(self, record: ModelRecord, names: Collection[str]) -> dict[str, list[NDArray[Any]]]:
        shapes = {name: record.shapes[name] for name in names}
        fields = [f"{name}/{index}" for name in names for index in range(len(shapes[name]))]
        with self._asking() as client:
            values = iter(client.hmget(self._tensors_key(record.model_id), fields))
        found: dict[str, list[NDArray[Any]]] = {}
        for name in names:
            found[name] = []
            for shape, dtype in shapes[name]:
                value = next(values)
                if value is None:
                    raise ModelNotFoundError(
                        f"model {format_model_id(record.model_id)} was retired while it was read"
                    )
                found[name].append(restored(np.frombuffer(value, np.uint8), dtype, shape))
        return found

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Any]:
        import redis

        key = (os.getpid(), self.url)
        with _lock:
            if key not in _clients:
                _clients[key] = redis.Redis.from_url(
                    self.url,
                    socket_timeout=_TIMEOUT_SECONDS,
                    socket_connect_timeout=_TIMEOUT_SECONDS,
                )
            client = _clients[key]
        try:
            yield client
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreUnreachableError(f"{self.url} did not answer: {error}") from error
        except redis.OutOfMemoryError as error:
            raise StoreFullError(f"{self.url} is full: {error}; raise its maxmemory") from error
        except redis.RedisError as error:
            raise StoreError(f"{self.url}: {error}") from error


def _as_bytes(array: NDArray[Any]) -> memoryview:
    """Returns the memory of an array, without a copy where it is contiguous."""
    return to_bytes(array).data
