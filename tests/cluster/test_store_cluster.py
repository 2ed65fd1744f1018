"""A store beside the workers of somebody's own Parsl script: real pools, servers and deaths."""

import os
import signal

import node_pools
import parsl
import psutil
import pytest
from cluster_runs import nap, processes, put_model, wait_until

from parsl_tl import load_config, open_store
from parsl_tl.cluster import StoreCluster
from parsl_tl.errors import StoreUnreachableError
from parsl_tl.store.copies import restore, snapshot
from parsl_tl.store.remote import RemoteStore
from parsl_tl.store.stopped_cluster import served_here

pytestmark = pytest.mark.slow


def contents(uri):
    with open_store(uri, read_only=True) as store:
        assert store.verify().ok
        ids = sorted(store.models()["model_id"].to_pylist())
        for model_id in ids:
            for arrays in store.read(model_id).values():
                assert (arrays[0] == model_id).all()
        return ids, store.identities


def test_servers_come_back_and_leave_what_they_had(tmp_path):
    folder, disk = tmp_path / "shared", tmp_path / "disk"
    # Blocks that are asked for by the cluster alone: the configuration starts one.
    config = load_config(node_pools.__file__, run_dir=str(tmp_path / "parsl"))
    cluster = StoreCluster(config, folder, 2, data=disk)
    app = parsl.python_app(put_model)
    with parsl.load(config), cluster:
        uri = cluster.wait(300)
        assert {app(uri, number).result(timeout=120) for number in range(4)} <= {"0", "1"}
        addresses = [place.address_file.read_text() for place in cluster.places]
        assert "//127.0.0.1:" in addresses[0]

        (server,) = processes("store serve", str(disk), "/1 ")
        server.send_signal(signal.SIGKILL)
        # The client asks again until it is there, where it was.
        assert all(app(uri, number).result(timeout=120) for number in (4, 5))
        assert cluster.places[1].address_file.read_text() == addresses[1]

        # What keeps a server up, and all of a block: workers, pool and launcher.
        old = [place.holder() for place in cluster.places]
        os.kill(old[0].pid, signal.SIGKILL)
        pool = psutil.Process(old[1].pid).parent()
        os.killpg(os.getpgid(pool.pid), signal.SIGKILL)
        # Parsl starts another block while there are more tasks than workers.
        naps = [parsl.python_app(nap)(4) for _ in range(4)]
        wait_until(lambda: not {p.holder() for p in cluster.places} & {*old})
        cluster.wait(120)
        assert all(app(uri, number).result(timeout=120) for number in (6, 7))
        assert all(one.result(timeout=300) for one in naps)
        found = contents(uri)
        assert found[0] == list(range(8))
    # Nothing is left on the nodes, as soon as the last server has ended.
    wait_until(lambda: not processes("store serve", str(disk)))
    assert not list(disk.glob("*/*"))
    assert contents(uri) == found
    with pytest.raises(StoreUnreachableError, match="not up"):
        open_store(uri)
    # What it left can be copied, too.
    assert snapshot(uri, tmp_path / "copy").models == len(found[0])
    restored = restore(tmp_path / "copy", tmp_path / "restored")
    with served_here(restored.folders) as servers, RemoteStore(servers, read_only=True) as store:
        assert store.identities == found[1]
        assert store.verify().ok
    parsl.clear()

    # Another run goes on with them, and with the number of servers that the store has.
    config = load_config(node_pools.__file__, run_dir=str(tmp_path / "parsl"))
    cluster = StoreCluster(config, folder, data=disk)
    with parsl.load(config), cluster:
        assert contents(cluster.wait(300)) == found
    parsl.clear()
