"""Damaged files, dead servers, full disks and missing packages, method by method."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from services import needs_redis
from small_models import candidate
from transfer_checks import FILES, keep, weights_of

from parsl_tl.benchmarks.core.servers import RedisServer
from parsl_tl.errors import (
    InvalidValueError,
    StoreError,
    StoreFullError,
    StoreUnreachableError,
    TransferError,
)
from parsl_tl.transfer import (
    RedisTransfer,
    get_transfer_method,
)
from parsl_tl.transfer.store import connect
from parsl_tl.transfer.weights import layers_with_weights, read_weights


@pytest.mark.parametrize("kind", FILES)
class TestFiles:
    def test_the_file_is_of_its_format(self, make, kind):
        method = make(kind)
        model, graph = candidate(3, 2)
        keep(method, model, graph, 1)
        path = method.path(1)
        other, _ = candidate(3, 2)
        if kind == "safetensors":
            from safetensors.numpy import load_file

            assert len(load_file(path)) == 4
            return
        if kind == "keras":
            other = keras.models.load_model(path)
        else:
            other.load_weights(path)
        assert weights_of(other, graph) == weights_of(model, graph)

    def test_a_reader_retains_the_file(self, make, kind):
        method = make(kind)
        model, graph = candidate(3)
        keep(method, model, graph, 1)
        got = method.transfer(*candidate(3), model_id=2)
        retained = method.folder / "retained"
        assert len(list(retained.iterdir())) == 1
        assert method.retire(1) == 0  # its bytes are still there
        assert len(list(retained.iterdir())) == 1
        assert got.donor == 1
        del got
        assert not list(retained.iterdir())

    def test_a_truncated_file_is_named(self, make, kind):
        method = make(kind)
        model, graph = candidate(30, 20)
        keep(method, model, graph, 0xAB)
        path = method.path(0xAB)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        child, _ = candidate(30, 20)
        before = weights_of(child, graph)
        with pytest.raises(TransferError, match=r"00000000000000ab.* cannot be read"):
            method.transfer(child, graph, model_id=2)
        assert weights_of(child, graph) == before
        assert method.retire(0xAB) > 0

    def test_a_missing_file_is_named(self, make, kind):
        method = make(kind)
        model, graph = candidate(3)
        keep(method, model, graph, 0xAB)
        method.path(0xAB).unlink()
        with pytest.raises(TransferError, match=r"00000000000000ab.* is missing"):
            method.transfer(model, graph, model_id=2)

    def test_a_record_that_is_none_is_named(self, make, kind):
        method = make(kind)
        (method.folder / "00000000000000ab.json").write_text('{"model_id": 3')
        with pytest.raises(TransferError, match=r"00000000000000ab.json is no record"):
            method.transfer(*candidate(3), model_id=2)

    def test_a_record_of_another_hash_scheme_is_refused(self, make, kind):
        method = make(kind)
        keep(method, *candidate(3), 0xAB)
        path = method.folder / "00000000000000ab.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in record.items() if k != "hash_scheme"}))
        with pytest.raises(TransferError, match="release that named layers otherwise"):
            make(kind).transfer(*candidate(3), model_id=2)

    def test_the_folder_cannot_be(self, make, kind, tmp_path):
        (tmp_path / kind).touch()
        with pytest.raises(StoreError, match="cannot be made"):
            make(kind)

    @pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
    def test_a_full_disk(self, make, kind, tmp_path):
        folder = tmp_path / kind
        folder.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True
        )
        if mounted.returncode != 0:
            pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
        try:
            method = make(kind)
            with pytest.raises(StoreFullError, match="make room"):
                keep(method, *candidate(400, 300), 1)
            assert [path.name for path in folder.iterdir()] == ["retained"]
            keep(method, *candidate(3), 2)
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@needs_redis
class TestRedis:
    def test_a_server_that_dies(self):
        model, graph = candidate(3)
        with RedisServer() as server:
            method = RedisTransfer(f"unix://{server.socket}")
            keep(method, model, graph, 1)
            os.kill(server.pid, 9)
            with pytest.raises(StoreUnreachableError, match="did not answer"):
                method.transfer(model, graph, model_id=2)
            with pytest.raises(StoreUnreachableError, match=r"redis\.sock"):
                keep(method, model, graph, 2)

    def test_a_server_that_is_full(self):
        model, graph = candidate(600, 500)
        with RedisServer() as server:
            method = RedisTransfer(f"unix://{server.socket}")
            with method._asking() as client:
                client.config_set("maxmemory", client.info("memory")["used_memory"] + 100_000)
            with pytest.raises(StoreFullError, match="maxmemory"):
                keep(method, model, graph, 1)
            assert method.recall(graph, model_id=1) is None

    def test_searches_share_a_server(self, redis_server):
        url = f"unix://{redis_server.socket}"
        model, graph = candidate(3)
        keep(RedisTransfer(url, prefix="one"), model, graph, 1)
        assert RedisTransfer(url, prefix="two").transfer(model, graph, model_id=2).donor is None

    def test_no_url(self):
        with pytest.raises(InvalidValueError, match="url='nowhere'"):
            RedisTransfer("nowhere")


@pytest.mark.parametrize("name", ["safetensors", "redis"])
def test_a_package_that_is_missing_is_named(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    kwargs = {} if name == "redis" else {"folder": tmp_path}
    with pytest.raises(TransferError, match=rf"parsl-tl\[{name}\]"):
        get_transfer_method(name, **kwargs)


def test_a_store_tells_shapes_that_differ(make):
    """The same as above, with other weights in the store itself."""
    model, graph = candidate(3, 2)
    first, second = layers_with_weights(model, graph)
    weights = read_weights(layers_with_weights(model, graph))
    weights[first][1] = weights[first][1].astype(np.float64)
    method = make("store")
    connect(method.uri).put(1, graph, weights, quality=1.0)
    assert method.transfer(*candidate(3, 2), model_id=2).layer_names == (second,)
