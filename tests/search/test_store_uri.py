"""What a campaign keeps of the store that it is given."""

import json
import os
import re

import pytest
from small_models import leave
from store_servers import running, uri_of

from parsl_tl import Campaign
from parsl_tl.cli import main
from parsl_tl.errors import (
    CampaignError,
    InvalidValueError,
    StoreIdentityError,
    StoreUnreachableError,
)
from parsl_tl.search import store_uri
from parsl_tl.search.store_uri import check_identities, check_opens, check_relocation, resolve
from parsl_tl.store import open_store

A, B = "grpc+tcp://node1:4000", "ofi+tcp://10.0.0.2:4000"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(store_uri, "open_store", lambda uri: open_store(uri, retry_seconds=0.2))


def test_what_only_this_process_knows_is_resolved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "address").write_text(f"{B}?provider_id=3\n")
    assert resolve(f"{A} address") == f"{A} {B}?provider_id=3"
    monkeypatch.setenv("MODEL_SERVERS", f"{B} {A}")
    assert resolve("MODEL_SERVERS") == f"{B} {A}"
    assert resolve("embedded:") == "embedded:"
    assert resolve("embedded:store") == f"embedded:{tmp_path}/store"
    assert resolve("embedded:///scratch/a b") == "embedded:/scratch/a b"


def test_names_of_files_stay_names_that_mean_the_same_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_SERVERS_TOKEN_FILE", "token")
    token = f"token_file={tmp_path}/token"
    assert resolve(f"{A} {B}?token_file=~/mine") == f"{A}?{token} {B}?token_file=~/mine"
    assert resolve("grpc+tls://a:1?ca=ca.pem") == f"grpc+tls://a:1?{token}&ca={tmp_path}/ca.pem"


@pytest.mark.parametrize("uri", ["no-such-file", f"{A} no-such-file", "ftp://a", ""])
def test_what_is_no_store_is_told(uri):
    with pytest.raises(InvalidValueError):
        resolve(uri)


def test_servers_may_move_and_nothing_else():
    assert check_relocation(A, A) == A
    assert check_relocation(A, B) == B
    assert check_relocation("embedded:/a", "embedded:/a") == "embedded:/a"
    for own, given in (("embedded:", A), (A, "embedded:"), ("embedded:/a", "embedded:/b")):
        with pytest.raises(CampaignError, match="only the addresses"):
            check_relocation(own, given)


@pytest.mark.usefixtures("impatient")
def test_a_campaign_keeps_connection_strings_and_follows_its_servers(tmp_path, capsys):
    with running(tmp_path, "flight", 2) as servers:
        files = " ".join(str(server.address_file) for server in servers)
        out = tmp_path / "run"
        campaign = Campaign("digits", "dense-skip", store=files, out=out)
        assert campaign.store_uri == uri_of(servers)
        with open_store(files) as store:
            leave(store, 1, 2)
        for name in ("info", "ls", "verify"):
            assert main(["store", name, str(out)]) == 0
        assert "2 models" in capsys.readouterr().out
        with pytest.raises(CampaignError, match="only the addresses"):
            Campaign.resume(out, store="embedded:")

        old = servers[1].address
        servers[1].kill()
        servers[1].address = "grpc+tcp://127.0.0.1:0"
        servers[1].start()
        assert servers[1].address != old
        # Nothing was evaluated yet, so the server that is gone is an error that names it.
        with pytest.raises(StoreUnreachableError, match=re.escape(old)):
            Campaign.resume(out).search(1)
        again = Campaign.resume(out, store=files)
        assert again.store_uri == uri_of(servers)
        with pytest.raises(InvalidValueError, match="order"):
            Campaign.resume(out, store=" ".join(reversed(files.split()))).search(1)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_came_back_empty_is_told(tmp_path):
    with running(tmp_path) as (server,):
        out = tmp_path / "run"
        (before,) = Campaign("digits", "dense-skip", store=server.uri, out=out).settings.store_ids
        server.kill()
        aside = server.folder.rename(tmp_path / "aside")
        server.start()
        with open_store(server.uri) as store:
            (now,) = store.identities
        with pytest.raises(StoreIdentityError, match=f"store {before}.* store {now}"):
            Campaign.resume(out).search(1)
        assert Campaign.resume(out).settings.store_ids == [before]
        server.kill()
        server.folder.rename(tmp_path / "empty")
        aside.rename(server.folder)
        server.start()
        check_identities([before], check_opens(server.uri, may_be_away=False))


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_there_is_told_before_anything_is_made(tmp_path):
    address = f"grpc+unix://{tmp_path}/nobody.sock"
    with pytest.raises(StoreUnreachableError, match=r"nobody\.sock"):
        Campaign("digits", "dense-skip", store=address, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_older_campaign_is_read(tmp_path):
    Campaign("digits", "dense-skip", out=tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    settings = json.loads(path.read_text())
    del settings["overlap_store"]
    path.write_text(json.dumps(settings))
    campaign = Campaign.resume(tmp_path / "run")
    assert campaign.settings.overlap_store is False
    assert campaign.store_uri == f"embedded:{tmp_path}{os.sep}run{os.sep}store"
    assert campaign.summary() == "0 evaluations, 0 failed"
    assert repr(campaign).endswith("0 evaluations, 0 failed>")
