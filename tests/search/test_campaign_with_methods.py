"""Campaigns whose models are kept by other transfer methods than the store."""

import json
import shutil

import pytest
from services import NEEDS_REDIS, needs_redis

from parsl_tl import Campaign
from parsl_tl.benchmarks.core.servers import RedisServer
from parsl_tl.cli import main
from parsl_tl.errors import (
    CampaignError,
    InvalidValueError,
    ParslTLError,
    StoreUnreachableError,
    TransferError,
)
from parsl_tl.store import open_store
from parsl_tl.transfer import RedisTransfer

SETTINGS = {
    "population_size": 4,
    "sample_size": 2,
    "keep_best": 2,
    "space_args": {"num_layers": 2},
    "training": {"epochs": 2},
}


def campaign_of(out, transfer, **settings):
    return Campaign("digits", "dense-skip", out=out, transfer=transfer, **SETTINGS, **settings)


@pytest.fixture
def redis_url():
    with RedisServer() as server:
        yield f"unix://{server.socket}"


@pytest.fixture(scope="module")
def by_store(tmp_path_factory, one_worker):
    campaign = campaign_of(tmp_path_factory.mktemp("store") / "run", "store", kernel=one_worker)
    results = campaign.search(8)
    with open_store(campaign.store_uri, read_only=True) as store:
        return results, len(store)


def same_search(results, by_store):
    """The same candidates get the same weights; ids differ from campaign to campaign."""
    columns = ["arch_seq", "objective", "layers_transferred", "bytes_transferred"]
    assert results["layers_transferred"].sum() > 0
    assert results[columns].to_dict("list") == by_store[0][columns].to_dict("list")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hdf5", "safetensors"])
def test_files_give_the_same_search_as_the_store(tmp_path, method, by_store, one_worker, capsys):
    campaign = campaign_of(tmp_path / "run", method, kernel=one_worker)
    same_search(campaign.search(8), by_store)
    assert len(list((tmp_path / "run" / "models").glob("*.json"))) == by_store[1]
    assert not (tmp_path / "run" / "store").exists()
    with pytest.raises(CampaignError, match=f"no store.*{method}"):
        _ = campaign.store_uri
    assert main(["store", "info", str(tmp_path / "run")]) == 2
    assert "has no store" in capsys.readouterr().err


@pytest.mark.slow
@needs_redis
def test_redis_gives_the_same_search_as_the_store(tmp_path, redis_url, by_store, one_worker):
    arguments = {"url": redis_url}
    campaign = campaign_of(tmp_path / "run", "redis", transfer_args=arguments, kernel=one_worker)
    same_search(campaign.search(8), by_store)
    assert len(RedisTransfer(redis_url).list_ids()) == by_store[1]


@pytest.mark.slow
@needs_redis
def test_a_server_that_dies_costs_transfer_and_not_the_search(tmp_path, one_worker):
    with RedisServer() as server:
        arguments = {"url": f"unix://{server.socket}"}
        run = campaign_of(tmp_path / "run", "redis", transfer_args=arguments, kernel=one_worker)
        assert run.search(5)["failure"].isna().all()
    results = Campaign.resume(tmp_path / "run", kernel=one_worker).search(8)
    assert len(results) == 8
    assert results["failure"].isna().all()
    assert results["transfer_error"].iloc[5:].str.contains("did not answer").all()
    summary = Campaign.resume(tmp_path / "run").summary()
    assert "3 without transfer, 3 not stored" in summary


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    out, models = tmp_path / "run", tmp_path / "models"
    command = ["search", "--problem", "digits", "--space", "dense-skip", "--epochs", "1"]
    command += ["--transfer", "safetensors", "--transfer-arg", f"folder={models}"]
    assert main([*command, "--max-evals", "3", "--workers", "1", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "Best five" in shown
    assert "parsl-tl export" not in shown
    assert len(list(models.glob("*.safetensors"))) == 3
    settings = json.loads((out / "config.json").read_text())
    assert settings["transfer_args"] == {"folder": str(models)}


def test_a_folder_means_the_same_to_every_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    campaign = campaign_of(tmp_path / "run", "hdf5", transfer_args={"folder": "models"})
    assert campaign.settings.transfer_args == {"folder": str(tmp_path / "models")}
    Campaign.resume(tmp_path / "run", expected={"transfer_args": {"folder": "models"}})
    with pytest.raises(CampaignError, match="others"):
        Campaign.resume(tmp_path / "run", expected={"transfer_args": {"folder": "others"}})


@pytest.mark.parametrize(
    ("transfer", "settings", "error", "words"),
    [
        ("magic", {}, TransferError, "magic.*hdf5"),
        ("hdf5", {"transfer_args": {"colour": 1}}, TransferError, "colour"),
        ("hdf5", {"transfer_args": {"donor": "luck"}}, InvalidValueError, "luck"),
        ("hdf5", {"store": "embedded:/tmp/x"}, CampaignError, "transfer='store'"),
        ("hdf5", {"overlap_store": True}, CampaignError, "overlap_store"),
        ("store", {"transfer_args": {"by": "bytes"}}, CampaignError, "transfer_args"),
        pytest.param(
            *("redis", {"transfer_args": {"url": "redis://127.0.0.1:1"}}),
            *(StoreUnreachableError, "127.0.0.1:1.*before the search"),
            marks=NEEDS_REDIS,
        ),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_made(
    tmp_path, transfer, settings, error, words
):
    with pytest.raises(error, match=words):
        campaign_of(tmp_path / "run", transfer, **settings)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ParslTLError, match="cannot be made"):
        campaign_of(
            tmp_path / "run", "hdf5", transfer_args={"folder": str(tmp_path / "file" / "models")}
        )
    assert not (tmp_path / "run").exists()


def test_resuming_keeps_the_method(tmp_path):
    campaign_of(tmp_path / "run", "hdf5")
    with pytest.raises(CampaignError, match="transfer='hdf5'"):
        Campaign.resume(tmp_path / "run", expected={"transfer": "store"})
    shutil.rmtree(tmp_path / "run" / "models")
    assert Campaign.resume(tmp_path / "run").settings.transfer == "hdf5"


@pytest.mark.slow
def test_training_from_scratch_stores_every_model(tmp_path, one_worker):
    campaign = campaign_of(tmp_path / "run", "store", from_scratch=True, kernel=one_worker)
    results = campaign.search(6)
    assert results["layers_transferred"].sum() == 0
    assert (results["bytes_stored"] == results["bytes_total"]).all()
    with open_store(campaign.store_uri, read_only=True) as store:
        assert len(store) > 0
    # The option was called so when it was all that stored every model.
    assert Campaign.resume(tmp_path / "run", expected={"transfer": "none"}).settings.from_scratch
    with pytest.raises(CampaignError, match="from_scratch=True"):
        Campaign.resume(tmp_path / "run", expected={"from_scratch": False})


@pytest.mark.slow
def test_none_keeps_nothing_and_says_so(tmp_path, one_worker, capsys):
    with pytest.warns(FutureWarning, match="keeps no models.*--from-scratch"):
        campaign = campaign_of(tmp_path / "run", "none", kernel=one_worker)
    results = campaign.search(6)
    assert results["objective"].notna().all()
    assert results["bytes_stored"].sum() == 0
    assert not (tmp_path / "run" / "store").exists()
    assert not (tmp_path / "run" / "models").exists()
    assert main(["store", "info", str(tmp_path / "run")]) == 2
    assert "keeps no models" in capsys.readouterr().err


def test_none_on_a_command_line_of_earlier_releases(tmp_path, capsys):
    new = ["search", "--problem", "digits", "--space", "dense-skip", "--out", str(tmp_path / "run")]
    assert main([*new, "--transfer", "none", "--store", f"embedded:{tmp_path / 'store'}"]) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("parsl-tl: warning: transfer method 'none' keeps no models")
    assert "--from-scratch" in error
    assert not (tmp_path / "run").exists()
