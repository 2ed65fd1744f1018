"""One transfer method of each kind."""

import pytest
from transfer_checks import KINDS

from parsl_tl.benchmarks.core.servers import RedisServer, redis_missing
from parsl_tl.transfer import (
    Hdf5Transfer,
    RedisTransfer,
    SafetensorsTransfer,
    StoreTransfer,
)
from parsl_tl.transfer.store import disconnect


@pytest.fixture(scope="session")
def redis_server():
    if redis_missing() is not None:
        yield None
        return
    with RedisServer() as server:
        yield server


@pytest.fixture
def make(tmp_path, redis_server):
    """Makes the method of a kind; all of one kind share what is stored."""

    def make(kind, **kwargs):
        if kind == "store":
            return StoreTransfer(f"embedded:{tmp_path / 'store'}", **kwargs)
        if kind == "redis":
            url = f"unix://{redis_server.socket}"
            return RedisTransfer(url, prefix=str(tmp_path), **kwargs)
        if kind == "safetensors":
            return SafetensorsTransfer(tmp_path / kind, **kwargs)
        file_format = "keras" if kind == "keras" else "weights.h5"
        return Hdf5Transfer(tmp_path / kind, file_format=file_format, **kwargs)

    yield make
    disconnect()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def method(make, kind):
    return make(kind)
