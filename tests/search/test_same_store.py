"""Workers that see another folder under the store's path are noticed, and fail no evaluation."""

import os
import socket
import subprocess

import pytest
from fault_runs import FaultRun

from parsl_tl import open_store
from parsl_tl.errors import StoreElsewhereError
from parsl_tl.store.identity import identity_of
from parsl_tl.training import run_transfer_trainer


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
