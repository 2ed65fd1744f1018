"""Workers that see another folder under the store's path are noticed, and fail no evaluation."""

import os
import socket
import subprocess
from contextlib import closing

import pytest
from fault_runs import FaultRun
from store_servers import running

from parsl_tl import Campaign, open_store
from parsl_tl.errors import StoreElsewhereError
from parsl_tl.search.shared_parameters import shared_parameters
from parsl_tl.store.identity import identity_of
from parsl_tl.training import run_transfer_trainer
from parsl_tl.transfer import get_transfer_method
from parsl_tl.transfer.connections import disconnect
from parsl_tl.transfer.model_files import folder_identity
from parsl_tl.transfer.same_store import check_same_store


def job(uri, identity):
    return {"problem": "digits", "space": "dense-skip", "store": uri, "store_id": identity}


def test_the_error_names_node_path_and_both_stores(tmp_path):
    uris = [f"embedded:{tmp_path / name}" for name in ("a", "b", "none")]
    for uri in uris[:2]:
        open_store(uri).close()
    expected, found, _ = map(identity_of, uris)
    assert len({expected, found, None}) == 3
    with pytest.raises(StoreElsewhereError) as caught:
        run_transfer_trainer(job(uris[1], expected))
    for part in (socket.gethostname(), str(tmp_path / "b"), expected, found):
        assert part in str(caught.value)
    with pytest.raises(StoreElsewhereError, match="no store"):
        run_transfer_trainer(job(uris[2], expected))
    assert not (tmp_path / "none").exists()  # looking makes none


def test_folders_of_models_are_told_apart_too(tmp_path):
    for name in ("a", "b"):
        with closing(get_transfer_method("hdf5", folder=str(tmp_path / name))) as method:
            method.check()
    expected, found = (folder_identity(tmp_path / name) for name in ("a", "b"))
    assert len({expected, found, None}) == 3
    for name, what in (("b", found), ("none", "no folder")):
        folder = tmp_path / name
        of_files = {"transfer_method": "hdf5", "transfer_args": {"folder": str(folder)}}
        with pytest.raises(StoreElsewhereError, match=what):
            run_transfer_trainer(
                {"problem": "digits", "space": "dense-skip", "store_id": expected, **of_files}
            )
    assert not (tmp_path / "none").exists()  # looking makes none


@pytest.mark.parametrize("transfer", ["hdf5", "store"])
def test_workers_are_told_which_models_the_search_has(tmp_path, transfer):
    with running(tmp_path) as (server,):
        where = {"store": server.uri} if transfer == "store" else {}
        campaign = Campaign("digits", "dense-skip", out=tmp_path / "a", transfer=transfer, **where)
        told = shared_parameters(campaign.settings, campaign._storage)["store_id"]
    found = (
        campaign.settings.store_ids[0]
        if transfer == "store"
        else folder_identity(tmp_path / "a" / "models")
    )
    assert told == found is not None


@pytest.mark.slow
def test_a_server_that_leads_to_another_store_is_told(tmp_path):
    with running(tmp_path) as (server,):
        with open_store(server.uri) as store:
            (found,) = store.identities
        check_same_store(server.uri, found)
        with pytest.raises(StoreElsewhereError, match=found):
            run_transfer_trainer(job(server.uri, "0" * 32))
        disconnect(server.uri)
    # One that is away may be the same: the evaluation goes on without it.
    check_same_store(server.uri, found)
    disconnect(server.uri)


@pytest.mark.slow
def test_a_search_whose_workers_have_a_folder_of_their_own_says_so(tmp_path):
    """The workers run in a mount namespace, as on a node with a disk of its own."""
    can_mount = ["unshare", "--mount", "true"]
    if os.geteuid() != 0 or subprocess.run(can_mount, capture_output=True, check=False).returncode:
        pytest.skip("this user cannot make a mount namespace")
    run = FaultRun.real_campaign(tmp_path, 6, "--max-losses", 2, fault="own-disk")
    try:
        assert run.wait() == 3, run.text()
        for part in (
            socket.gethostname(),
            "no store",
            identity_of(f"embedded:{tmp_path}/run/store"),
        ):
            assert part in run.text()
        assert run.finished() == []
    finally:
        run.kill_all()
