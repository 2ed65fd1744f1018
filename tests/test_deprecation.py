"""Old names work for one release longer, and say what replaces them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from parsl_tl import open_store
from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import CampaignError, InvalidValueError
from parsl_tl.problems import Digits
from parsl_tl.search.settings import CampaignSettings, resolve_names
from parsl_tl.spaces import FeedForwardSpace
from parsl_tl.store import ModelStore, model_store
from parsl_tl.training import TrainingConfig
from parsl_tl.training.job import EvaluationJob

pytestmark = pytest.mark.filterwarnings("error::DeprecationWarning")


@pytest.fixture
def graph() -> ArchitectureGraph:
    return FeedForwardSpace(num_layers=1).build([0], (4,), (2,))


@pytest.fixture
def store(tmp_path: Path, graph: ArchitectureGraph) -> Iterator[ModelStore]:
    with open_store(f"embedded:{tmp_path / 'store'}") as store:
        weights = {name: [np.zeros(3, np.float32)] for name in graph.layer_names[1:]}
        store.put(7, graph, weights, quality=1.0)
        yield store


def test_queries_of_a_store(store: ModelStore, graph: ArchitectureGraph) -> None:
    with pytest.warns(DeprecationWarning, match="best_ancestor is .*; use find_donor"):
        assert store.best_ancestor(graph, by="bytes") == store.find_donor(graph)
    with pytest.warns(DeprecationWarning, match="use find_donors"):
        assert store.best_ancestors([graph]).model_ids.tolist() == [7]
    with pytest.warns(DeprecationWarning, match="use parsl_tl.store.answers.FoundDonors"):
        assert model_store.BestAncestors is type(store.find_donors([graph]))
    with pytest.raises(AttributeError, match="has no attribute 'WorstAncestors'"):
        _ = model_store.WorstAncestors


def test_arguments(tmp_path: Path) -> None:
    uri = f"grpc+unix://{tmp_path}/nobody.sock"
    with (
        pytest.warns(DeprecationWarning, match="patience= is .*; use retry_seconds="),
        pytest.raises(InvalidValueError, match="retry_seconds=-1"),
    ):
        open_store(uri, patience=-1)


def test_fields_of_a_recipe() -> None:
    problem = Digits()
    with pytest.warns(DeprecationWarning, match="'patience' is .*'early_stopping_patience'"):
        config = TrainingConfig.for_problem(problem, patience=3)
    assert config.early_stopping_patience == 3
    with pytest.warns(DeprecationWarning, match="'transfer' is .*'from_scratch'"):
        config = dataclasses.replace(config, transfer=False)
    assert config.from_scratch
    with pytest.warns(DeprecationWarning, match="use early_stopping_patience"):
        assert config.patience == 3
    with pytest.warns(DeprecationWarning, match="use from_scratch"):
        assert config.transfer is False


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"patience": 3}, {"early_stopping_patience": 3}),
        ({"training": {"patience": 3}}, {"training": {"early_stopping_patience": 3}}),
        ({"transfer": False}, {"from_scratch": True}),
        ({"transfer": True}, {"from_scratch": False}),
        ({"transfer": None}, {"from_scratch": None}),
    ],
)
@pytest.mark.parametrize("is_shared", [False, True])
def test_keys_of_a_job(old: dict[str, object], new: dict[str, object], is_shared: bool) -> None:
    common = {"problem": "digits", "space": "feed-forward", "arch_seq": 10 * [0]}

    def config_of(keys: dict[str, object]) -> TrainingConfig:
        job, settings = ({}, keys) if is_shared else (keys, {})
        return EvaluationJob.read({**common, "model_id": 1, **job}, settings).config()

    with pytest.warns(DeprecationWarning, match="goes in the next release"):
        assert config_of(old) == config_of(new)


def test_settings_of_a_campaign() -> None:
    with pytest.warns(DeprecationWarning, match="early_stopping_patience"):
        given = resolve_names({"training": {"patience": 3, "epochs": 2}})
    assert given == {"training": {"early_stopping_patience": 3, "epochs": 2}}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"transfer": "none"}, ("store", True)),  # which trained from scratch, and stored all
        ({"transfer": "store"}, ("store", False)),
        ({"transfer": "none", "from_scratch": False}, ("none", False)),
    ],
)
def test_folders_of_earlier_releases(
    tmp_path: Path, written: dict[str, object], read: tuple[str, bool]
) -> None:
    path = tmp_path / "config.json"
    given = {"problem": "digits", "space": "feed-forward", "training": {"patience": 4}}
    path.write_text(json.dumps({**given, **written}))
    settings = CampaignSettings.read(path)
    assert (settings.transfer, settings.from_scratch) == read
    assert settings.training == {"early_stopping_patience": 4}
    if settings.transfer == "none":
        with pytest.raises(CampaignError, match="keeps no models"):
            settings.store_uri(tmp_path)
