"""A server that follows another store: donors of both, weights that come once, counts that hold."""

import numpy as np
import pytest
from followed_stores import Site, catch_up, two_sites, wait_for

from parsl_tl import open_store
from parsl_tl.errors import (
    DonorGoneError,
    ModelExistsError,
    ModelNotFoundError,
    StoreError,
    StorePermissionError,
)
from parsl_tl.store.connection import find_servers
from parsl_tl.store.remote import RemoteStore


def put(site, tools, model_id, *arch, quality=0.5, **options):
    graph = tools.graph(*arch)
    weights = tools.weights(graph, model_id)
    site.store.put(model_id, graph, weights, quality=quality, **options)
    return graph, weights


def found_by(store, graph):
    match = store.find_donor(graph)
    return None if match is None else match.model_id


@pytest.mark.parametrize("maps_segments", [True, False])
def test_donors_of_a_followed_store_are_found_and_read(tmp_path, tools, maps_segments):
    with two_sites(tmp_path) as (leader, follower):
        graph, weights = put(leader, tools, 1, 1, 2, attributes={"site": "far"})
        catch_up(leader, follower)
        with RemoteStore(find_servers(follower.uri), maps_segments=maps_segments) as store:
            match = store.find_donor(tools.graph(1, 2, 3))
            assert (match.model_id, match.quality) == (1, 0.5)
            assert tools.same(store.read(1), weights)
            assert 1 in store
            assert store.info(1)["attributes"] == {"site": "far"}
            assert store.graph(1).to_json() == graph.to_json()
            assert set(store.composition(1).values()) == {1}
            assert len(store) == 0  # it lives where it was trained
            found = store.find_donors([tools.graph(1, 2), tools.graph(3, 3)])
            assert found.model_ids.tolist()[0] == 1
            assert store.stats()["followed_models"] == 1


def test_near_donors_win_among_equals(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        put(leader, tools, 1, 1, 2, quality=0.9)
        put(leader, tools, 2, 1, 2, 3, quality=0.1)
        put(follower, tools, 3, 1, 2, quality=0.2)
        catch_up(leader, follower)
        assert follower.store.find_donor(tools.graph(1, 2)).model_id == 3
        # A longer prefix is worth the way.
        assert follower.store.find_donor(tools.graph(1, 2, 3)).model_id == 2
        # So is quality, as far as it counts.
        assert follower.store.find_donor(tools.graph(1, 2), quality_rate=100.0).model_id == 1


def test_weights_come_once_and_are_counted(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        graph, weights = put(leader, tools, 1, 1, 2)
        leader.store.put(2, graph, {}, quality=0.7, donor=1)
        catch_up(leader, follower)
        assert follower.followed()[0]["bytes_pulled"] == 0
        assert tools.same(follower.store.read(1), weights)
        [state] = follower.followed()
        assert state["segments_pulled"] == 1
        assert state["bytes_pulled"] == state["bytes_here"] > 0
        assert tools.same(follower.store.read(2), weights)  # the same layers, owned by 1
        assert follower.followed()[0]["bytes_pulled"] == state["bytes_pulled"]
        leader.stop()  # what came stays
        assert tools.same(follower.store.read(1), weights)


def test_a_child_owns_what_it_took_from_another_store(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        _, weights = put(leader, tools, 1, 1, 2)
        catch_up(leader, follower)
        child = tools.graph(1, 2, 3)
        match = follower.store.find_donor(child)
        rest = tools.weights(child, 7.0)
        own = {name: rest[name] for name in rest if name not in match.layer_names}
        result = follower.store.put(7, child, own, quality=0.8, parent=1, donor=1)
        assert result.layers_inherited == 0
        assert result.layers_stored == len(rest)
        assert set(follower.store.composition(7).values()) == {7}
        assert follower.store.lineage(7) == [1]
        name = next(iter(weights))
        assert leader.store.reference_count(1, name) == 1
        # Whatever becomes of the donor, the child is whole.
        leader.store.retire(1)
        catch_up(leader, follower)
        assert 1 not in follower.store
        expected = {name: own.get(name, weights.get(name)) for name in rest}
        assert tools.same(follower.store.read(7), expected)
        # The next child shares with the first one.
        second = follower.store.put(8, child, {}, quality=0.9, donor=7)
        assert second.layers_inherited == len(rest)
        for store in (leader.store, follower.store):
            assert store.verify().ok


def test_retirement_reaches_the_other_site(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        graph, weights = put(leader, tools, 1, 1, 2)
        put(leader, tools, 2, 3)
        catch_up(leader, follower)
        follower.store.read(1)
        [path] = follower.copies()
        files = path.parent / "segments"
        assert len(list(files.iterdir())) == 1
        match = follower.store.find_donor(graph)
        leader.store.retire(1)
        catch_up(leader, follower)
        wait_for(lambda: not list(files.iterdir()), "the copy of its weights is gone")
        assert tools.same(match.read(list(weights)), weights)  # while somebody holds it
        with pytest.raises(DonorGoneError):
            follower.store.put(9, graph, {}, quality=0.0, donor=1)
        # And the other way round: it is retired where it lives.
        assert follower.store.retire(2) > 0
        assert 2 not in leader.store
        assert 2 not in follower.store
        with pytest.raises(ModelNotFoundError):
            follower.store.retire(2)


def test_an_id_of_another_site_is_not_used_again(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        put(leader, tools, 1, 1)
        catch_up(leader, follower)
        with pytest.raises(ModelExistsError, match="ids are never reused"):
            put(follower, tools, 1, 2)


def test_weights_are_kept_within_a_budget(tmp_path, tools):
    with two_sites(tmp_path, follow_budget=1) as (leader, follower):
        kept = {i: put(leader, tools, i, i)[1] for i in (1, 2, 3)}
        catch_up(leader, follower)
        for i in (1, 2, 1, 3):
            assert tools.same(follower.store.read(i), kept[i])
            assert len(list((follower.copies()[0].parent / "segments").iterdir())) == 1
        # Those that are read again had to come again, unless the client has them open.
        assert follower.followed()[0]["segments_pulled"] >= 3


def test_a_site_that_is_cut_off_goes_on_and_catches_up(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        _, weights = put(leader, tools, 1, 1, 2)
        put(leader, tools, 2, 1, 2, 3)
        catch_up(leader, follower)
        follower.store.read(1)
        leader.stop()
        wait_for(lambda: follower.followed()[0]["problem"], "it notices")
        # The longest prefix is in a model whose weights never came: the next one is as good as it
        # gets.
        assert follower.store.find_donor(tools.graph(1, 2, 3)).model_id == 1
        with pytest.raises(StoreError, match="could not be had"):
            follower.store.read(2)
        put(follower, tools, 10, 1, 2, 3)
        follower.stop()
        follower.start()  # with the other one away
        assert tools.same(follower.store.read(1), weights)
        leader.start()
        put(leader, tools, 3, 2, 2)
        leader.store.retire(2)
        catch_up(leader, follower)
        assert not follower.followed()[0]["problem"]
        assert follower.store.find_donor(tools.graph(2, 2)).model_id == 3


def test_a_log_that_was_written_anew_is_read_again(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        kept = {i: put(leader, tools, i, *divmod(i, 3))[1] for i in range(3, 9)}
        catch_up(leader, follower)
        follower.store.read(5)
        for i in (3, 4):
            leader.store.retire(i)
        leader.store.compact()
        put(leader, tools, 20, 1, 1, 1)
        catch_up(leader, follower)
        pulled = follower.followed()[0]["segments_pulled"]
        assert tools.same(follower.store.read(5), kept[5])
        assert (
            follower.followed()[0]["segments_pulled"] == pulled
        )  # the weights need not come again
        assert tools.same(follower.store.read(8), kept[8])
        [path] = follower.copies()
        with open_store(f"embedded:{path.parent}", read_only=True) as copy:
            assert copy.verify().ok


def test_another_store_at_the_address_is_refused(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        put(leader, tools, 1, 1)
        catch_up(leader, follower)
        leader.stop()
        stranger = Site.__new__(Site)
        stranger.__dict__ = {**leader.__dict__, "folder": tmp_path / "stranger"}
        stranger.start()
        try:
            put(stranger, tools, 2, 2, 2)
            wait_for(lambda: "was followed there" in follower.followed()[0]["problem"], "refusal")
            assert 1 in follower.store
            assert 2 not in follower.store
        finally:
            stranger.stop()
        leader.start()
        put(leader, tools, 3, 3)
        catch_up(leader, follower)


def flip_last_byte(file):
    data = bytearray(file.read_bytes())
    data[-80] ^= 0xFF
    file.write_bytes(data)


def test_damaged_weights_are_refused_and_passed_over(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        put(leader, tools, 1, 1)
        put(leader, tools, 2, 1, 2)
        catch_up(leader, follower)
        file = leader.folder / "segments" / f"{2:016x}.seg"
        data = bytearray(file.read_bytes())
        data[64] ^= 0xFF  # the first tensor
        file.write_bytes(data)
        with pytest.raises(StoreError, match="checksum"):
            follower.store.read(2)
        assert follower.store.find_donor(tools.graph(1, 2)).model_id == 1
        names = [path.name for path in (follower.copies()[0].parent / "segments").iterdir()]
        assert names == [f"{1:016x}.seg"]


def test_a_damaged_page_of_the_log_is_not_taken_in(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        put(leader, tools, 1, 1)
        catch_up(leader, follower)
        follower.stop()
        put(leader, tools, 2, 2)
        put(leader, tools, 3, 3)
        log = leader.folder / "log"
        whole = log.read_bytes()
        with log.open("r+b") as file:  # in place, as a failing disk does it
            file.seek(len(whole) - 100)
            file.write(bytes(byte ^ 0xFF for byte in whole[-100:-60]))
        follower.start()
        wait_for(lambda: "damaged" in follower.followed()[0]["problem"], "it notices")
        assert 1 in follower.store
        assert 3 not in follower.store
        with log.open("r+b") as file:
            file.write(whole)
        wait_for(lambda: 3 in follower.store, "it goes on")
        assert 2 in follower.store


def test_two_sites_follow_each_other(tmp_path, tools):
    left = Site(tmp_path / "left")
    right = Site(tmp_path / "right", follow=[left.uri])
    left.stop()
    left.settings["follow"] = [right.uri]
    left.start()
    try:
        put(left, tools, 1, 1)
        put(right, tools, 2, 2)
        catch_up(left, right)
        catch_up(right, left)
        for site, theirs in ((left, 2), (right, 1)):
            assert len(site.store) == 1
            assert theirs in site.store
            assert site.followed()[0]["models"] == 1
    finally:
        left.stop()
        right.stop()


def test_a_store_of_several_servers_is_followed(tmp_path, tools):
    servers = [Site(tmp_path / f"leader{i}") for i in range(2)]
    uri = " ".join(server.uri for server in servers)
    follower = Site(tmp_path / "follower", follow=[uri])
    try:
        with open_store(uri) as leader:
            parent, child = tools.graph(1, 2), tools.graph(1, 2, 3)
            weights = tools.weights(parent, 1.0)
            leader.put(1, parent, weights, quality=0.5)
            rest = {n: w for n, w in tools.weights(child, 2.0).items() if n not in weights}
            leader.put(2, child, rest, quality=0.5, donor=1)  # its layers are on both servers
            # Each server's log comes by itself, in whichever order: a child whose layers' owner is
            # not known yet is no donor yet.
            wait_for(lambda: found_by(follower.store, child) == 2, "both come")
            expected = {name: rest.get(name, weights.get(name)) for name in tools.weights(child)}
            assert tools.same(follower.store.read(2), expected)
            follower.store.retire(1)
            assert 1 not in leader
            assert leader.verify().ok
            assert tools.same(leader.read(2), expected)
    finally:
        follower.stop()
        for server in servers:
            server.stop()


def test_nobody_but_the_follower_writes_into_a_copy(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        graph, _ = put(leader, tools, 1, 1)
        catch_up(leader, follower)
        [path] = follower.copies()
        with open_store(f"embedded:{path.parent}") as copy:
            for change in (
                lambda: copy.put(2, graph, {}, quality=0.0),
                lambda: copy.retire(1),
                copy.compact,
            ):
                with pytest.raises(StorePermissionError, match="store promote"):
                    change()


def test_quality_and_exclusion_hold_across_stores(tmp_path, tools):
    with two_sites(tmp_path) as (leader, follower):
        rng = np.random.default_rng(0)
        for i in range(1, 13):
            site = leader if i % 2 else follower
            arch = rng.integers(1, 4, 3).tolist()
            put(site, tools, i, *arch, quality=float(rng.integers(4)), fingerprint=i % 3)
        catch_up(leader, follower)
        with open_store(f"embedded:{tmp_path / 'both'}") as both:
            for i in range(1, 13):
                home = leader.store if i % 2 else follower.store
                both.put(
                    i,
                    home.graph(i),
                    home.read(i),
                    quality=home.info(i)["quality"],
                    fingerprint=i % 3,
                )
            for _ in range(20):
                query = tools.graph(*rng.integers(1, 4, 3).tolist())
                how = {
                    "quality_rate": 0.5,
                    "min_quality": 1.0,
                    "exclude": {int(rng.integers(1, 13))},
                    "fingerprints": {0, 1},
                }
                one, all_of_them = (
                    follower.store.find_donor(query, **how),
                    both.find_donor(query, **how),
                )
                assert (one is None) == (all_of_them is None)
                if one is None:
                    continue
                worth = [len(m.layer_names) + 0.5 * m.quality for m in (one, all_of_them)]
                assert worth[0] == worth[1]
                assert one.quality >= 1.0
                assert one.model_id not in how["exclude"]
