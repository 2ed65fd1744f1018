"""The transfer methods of the registry as benchmarks make them, in a folder or on a server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from parsl_tl.benchmarks.core.servers import RedisServer
from parsl_tl.errors import BenchmarkError
from parsl_tl.transfer import TransferMethod, get_transfer_method, list_transfer_methods
from parsl_tl.transfer.registry import find_transfer_method

PREFIX: Final = "transfer:"
REDIS: Final = "redis"


class TransferPlace(NamedTuple):
    """Where a transfer method keeps its models."""

    folder: Path  # of methods that write files; made by them
    store_uri: str | None = None  # of the model store; a store in the folder if None
    # Of a Redis server, such as ``unix:///tmp/redis.sock``, for the method that uses one.
    redis_url: str | None = None


def transfer_formats() -> list[str]:
    """Returns the names of all transfer methods as formats: ``transfer:<name>``."""
    return [f"{PREFIX}{name}" for name in list_transfer_methods()]


def method_arguments(name: str, place: TransferPlace) -> dict[str, Any]:
    """Returns what a transfer method is made with.

    Raises:
        BenchmarkError: the method needs a Redis server, and there is none.
    """
    needs = getattr(find_transfer_method(name), "needs", "folder")
    uri = place.store_uri or f"embedded:{place.folder}"
    places = {None: "", "folder": str(place.folder), "uri": uri, "url": place.redis_url}
    if places[needs] is None:
        raise BenchmarkError("there is no Redis server; name one by its URL")
    return {needs: places[needs]} if needs else {}


def make_method(name: str, place: TransferPlace) -> TransferMethod:
    """Makes a transfer method, of a name with or without ``transfer:``; see its arguments."""
    name = name.removeprefix(PREFIX)
    return get_transfer_method(name, **method_arguments(name, place))


@contextlib.contextmanager
def place_of(
    name: str, folder: Path, store: str | None, redis_url: str | None, **redis: Any
) -> Iterator[TransferPlace]:
    """Makes a method's place, with a Redis server of its own (``redis``) where it needs one."""
    if name.removeprefix(PREFIX) != REDIS or redis_url is not None:
        yield TransferPlace(folder, store, redis_url)
        return
    with RedisServer(**redis) as server:
        yield TransferPlace(folder, store, server.url)
