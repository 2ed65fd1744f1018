"""Campaigns on kernels of their own and of others, in notebooks, in threads, more than once."""

import asyncio
import threading

import parsl
import pytest

from parsl_tl import Campaign, load_config
from parsl_tl.errors import ConfigError, InvalidValueError
from parsl_tl.parsl_reuse import startable

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


def test_what_cannot_be_made_again_is_used_itself():
    class Own(parsl.ThreadPoolExecutor):
        def __init__(self, secret):
            super().__init__(label=secret)

    config = parsl.Config(executors=[Own("x")])
    assert startable(config) is config
