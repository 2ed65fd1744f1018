"""Campaigns on kernels of their own and of others, in notebooks, in threads, more than once."""

import asyncio
import threading
from pathlib import Path

import parsl
import psutil
import pytest
from fault_runs import wait_for

from parsl_tl import Campaign, load_config
from parsl_tl.errors import ConfigError, InvalidValueError
from parsl_tl.parsl_reuse import startable
from parsl_tl.search.campaign_kernel import CampaignKernel

SETTINGS = {
    "population_size": 4,
    "sample_size": 2,
    "space_args": {"num_layers": 2},
    "training": {"epochs": 1},
}


def campaign(out, *place, **kwargs):
    return Campaign("digits", "dense-skip", *place, out=out, **SETTINGS, **kwargs)


@pytest.mark.slow
def test_within_a_loop_on_a_loaded_kernel_that_stays_loaded(tmp_path):
    config = load_config("local", max_workers=1, run_dir=str(tmp_path / "parsl"))

    async def notebook():
        with parsl.load(config) as kernel:
            first = campaign(tmp_path / "first").search(2)
            assert parsl.dfk() is kernel
            named = campaign(tmp_path / "named", kernel=kernel, executors="workers", num_workers=2)
            second = named.search(2)
            with pytest.raises(ConfigError, match="choose from workers"):
                campaign(tmp_path / "wrong", executors=["gpus"]).search(2)
            await asyncio.sleep(0)
            assert parsl.dfk() is kernel
            assert not kernel.cleanup_called
        return first, second

    for results in asyncio.run(notebook()):
        assert results["objective"].notna().sum() == 2


@pytest.mark.slow
def test_two_at_once_and_one_configuration_twice(tmp_path):
    config = load_config("local", max_workers=1, run_dir=str(tmp_path / "parsl"))
    campaigns = {
        "again": campaign(tmp_path / "again", config),
        "beside": campaign(tmp_path / "beside", "local", max_workers=1),
    }
    results = {}

    def search(name):
        for max_evals in (2, 3):
            results[name, max_evals] = campaigns[name].search(max_evals)

    threads = [threading.Thread(target=search, args=(name,)) for name in campaigns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = {key: int(frame["objective"].notna().sum()) for key, frame in results.items()}
    assert counted == {(name, count): count for name in campaigns for count in (2, 3)}
    for name in campaigns:
        text = (tmp_path / name / "campaign.log").read_text()
        assert text.count(f"campaign in {tmp_path / name}:") == 2
        assert "campaign in" in text
        assert all(str(tmp_path / other) not in text for other in campaigns if other != name)


def test_a_kernel_has_its_configuration(tmp_path):
    with pytest.raises(ConfigError, match="kernel="):
        campaign(tmp_path / "run", "local", kernel=object())
    with pytest.raises(InvalidValueError, match="num_workers=0"):
        campaign(tmp_path / "run", num_workers=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["local", "local_mpi"])
def test_a_configuration_is_started_as_an_equal_one(name):
    config = load_config(name, max_workers=3, retries=5)
    again = startable(config)
    assert again.executors[0] is not config.executors[0]
    assert again.executors[0].provider is not config.executors[0].provider
    assert repr(again) == repr(config)


def test_a_configuration_that_was_used_is_told():
    config = load_config("local", max_workers=1)
    config.executors[0].run_id = "as Parsl notes it when it starts an executor"
    with pytest.raises(ConfigError, match="make a new one"):
        startable(config)


class Own(parsl.ThreadPoolExecutor):
    """Parsl's convention of arguments that are attributes does not hold here."""

    def __init__(self, secret):
        super().__init__(label=secret)


def place(config):
    return CampaignKernel(config, None, None, "all", None)


def test_what_cannot_be_made_again_is_copied():
    config = parsl.Config(executors=[Own("x")])
    again = startable(config)
    assert again.executors[0] is not config.executors[0]
    assert again.executors[0].label == "x"
    assert place(config).can_start_again


def test_what_cannot_be_copied_is_used_once_and_that_is_told(caplog):
    executor = Own("x")
    executor.lock = threading.Lock()
    config = parsl.Config(executors=[executor])
    assert startable(config) is config
    assert "started once only" in caplog.text
    assert not place(config).can_start_again


@pytest.mark.full
def test_executors_of_a_configuration_object_are_started_anew(tmp_path, monkeypatch):
    def sleep(job, **settings):
        import time

        from parsl_tl.training.report import TrainingReport

        time.sleep(0.3)
        return TrainingReport(objective=float(job["job"]), model_id=job["model_id"]).output()

    # What this module imports travels with the function.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"))
    monkeypatch.setattr("parsl_tl.search.campaign.run_transfer_trainer", sleep)
    config = load_config("local", max_workers=2, run_dir=str(tmp_path / "parsl"))
    search = campaign(tmp_path / "run", config)

    def kill_the_interchange():
        wait_for(lambda: len(search.results) >= 2, "two evaluations")
        for child in psutil.Process().children():
            if "interchange" in " ".join(child.cmdline()):
                child.kill()

    killer = threading.Thread(target=kill_the_interchange)
    killer.start()
    results = search.search(12)
    killer.join()
    assert sorted(results["objective"]) == list(range(12))
    assert "are started anew" in (tmp_path / "run" / "campaign.log").read_text()
