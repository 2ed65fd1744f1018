"""What is reported before workers start, and what a start that fails leaves behind: nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsl_tl import Campaign
from parsl_tl.cli import main
from parsl_tl.errors import CampaignError, InvalidValueError, ParslTLError, ProblemError
from parsl_tl.problems.check import check_data
from parsl_tl.search.settings import CampaignSettings

# Choices that are called as training's keys and as the search's own ones.
SOURCE = """
import numpy as np
from parsl_tl.problems import Data, Problem
from parsl_tl.spaces import Choice, FeedForwardSpace

class Mine(Problem):
    name, input_shape, output_shape = "mine", (3,), (1,)
    metrics = ("mae",)
    epochs = 2
    batch_size = 16
    value = 1.0
    def _load(self):
        x = np.random.default_rng(0).random((64, 3), "f4") * self.value
        y = x.sum(axis=1, keepdims=True)
        return Data(x[:48], y[:48], x[48:], y[48:])

class Broken(Mine):
    value = np.nan

class Dying(Mine):
    def _load(self):
        import os
        os.kill(os.getpid(), 9)

class Chatting(Mine):
    def _load(self):
        import sys
        print("hello")
        print("hello", file=sys.stderr)
        return super()._load()

class Colliding(FeedForwardSpace):
    def __init__(self):
        super().__init__(num_layers=3, units=(4, 8, 4), activations=["relu"])
    def choices(self):
        names = ["batch_size", "model_id", "transfer"]
        return [Choice(n, c.values) for n, c in zip(names, super().choices())]
"""


# A function for Keras Tuner, which compiles its models itself.
TUNED = str(Path(__file__).parents[1] / "spaces" / "hypermodels.py") + ":dense_model"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with modules of the user's own."""
    (tmp_path / "newcomer.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("newcomer", None)
    sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"problem": "newcomer:Broken"}, "NaN or infinite"),
        ({"problem": "newcomer:Dying"}, "was ended by SIGKILL"),
        ({"problem": "newcomer:Colliding"}, "is no parsl_tl.problems.Problem"),
        ({"problem": "newcomer:Nobody"}, "has no 'Nobody'"),
        ({"config": "locl"}, r"\(did you mean 'local'\?\)"),
        ({"training": {"epoch": 3}}, r"training does not take 'epoch' \(did you mean 'epochs'"),
        ({"training": {"epochs": 0}}, "epochs is 0"),
        ({"training": {"learning_rate": "x"}}, "learning_rate is 'x'"),
        (
            {"problem": "digits", "space": TUNED, "training": {"learning_rate": 0.1}},
            "learning_rate is set to 0.1 .* has one with each architecture, such as 0.0001",
        ),
        ({"poplation_size": 3}, r"'poplation_size' \(did you mean 'population_size'"),
        ({"rank_by": "luck"}, "rank_by is 'luck'; choose one of objective, architecture"),
        ({"problem_args": {"row": 3}}, "does not take 'row'"),
        ({"store": "grpc+tcp://127.0.0.1:1"}, "127.0.0.1:1"),
        ({"transfer": "hdf5", "transfer_args": {"foldr": "x"}}, "did you mean 'folder'"),
    ],
)
def test_a_mistake_is_told_and_leaves_no_folder(folder, settings, told):
    given = {"problem": "newcomer:Mine", "space": "feed-forward", **settings}
    with pytest.raises(ParslTLError, match=told):
        Campaign(out=folder / "run", **given)
    assert not (folder / "run").exists()
    Campaign("newcomer:Mine", "feed-forward", out=folder / "run")
    assert (folder / "run" / "config.json").exists()


def test_a_search_that_does_not_start_leaves_no_folder(folder):
    out = folder / "run"
    campaign = Campaign("digits", "feed-forward", out=out, population_size=1, sample_size=1)
    with pytest.raises(InvalidValueError, match="population_size"):
        campaign.search(4)
    assert not out.exists()
    out.mkdir()
    campaign = Campaign("digits", "feed-forward", out=out, store=f"embedded:{__file__}")
    with pytest.raises(ParslTLError):
        campaign.search(4)
    assert list(out.iterdir()) == []


def test_data_that_only_the_workers_have_is_not_looked_for(folder):
    Campaign("newcomer:Broken", "feed-forward", out=folder / "run", check_data=False)


def test_what_a_problem_prints_does_not_matter(folder):
    check_data("newcomer:Chatting", {}, [str(folder)])
    with pytest.raises(ProblemError, match=r"'newcomer:Mine' does not take 'x'"):
        check_data("newcomer:Mine", {"x": 1}, [str(folder)])


def test_the_data_is_loaded_elsewhere(folder):
    code = (
        "import sys; from parsl_tl import Campaign\n"
        "Campaign('newcomer:Mine', 'feed-forward', out='run')\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, timeout=300
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_settings_of_older_campaigns_are_read(folder):
    campaign = Campaign("digits", "feed-forward", out=folder / "run")
    path = folder / "run" / "config.json"
    values = json.loads(path.read_text())
    for name in ("max_evals", "import_folders", "allow_repeats"):
        del values[name]
    values["training"] = {"epoch": 3}  # was kept, and never looked at
    path.write_text(json.dumps(values))
    again = Campaign.resume(folder / "run")
    assert again.settings.uid == campaign.settings.uid
    assert again.settings.max_evals is None
    with pytest.raises(InvalidValueError, match="max_evals is needed"):
        again.search()
    path.write_text(json.dumps({**values, "sead": 1}))
    with pytest.raises(CampaignError, match=r"not a campaign's.*'sead' \(did you mean 'seed'"):
        CampaignSettings.read(path)


@pytest.mark.slow
def test_modules_of_the_current_folder_get_to_the_workers(folder, capfd):
    """And choices are choices, a small space ends, and curves and networks are kept."""
    command = ["search", "--out", str(folder / "run"), "--workers", "2"]
    new = ["--problem", "newcomer:Mine", "--space", "newcomer.py:Colliding", "--max-evals", "6"]
    sizes = ["--population-size", "3", "--sample-size", "2"]
    assert main([*command, *new, *sizes]) == 0
    told = capfd.readouterr().out
    assert "network" in told
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["import_folders"] == [str(folder)]
    assert config["space"] == f"{folder / 'newcomer.py'}:Colliding"
    assert config["max_evals"] == 6

    (folder / "elsewhere").mkdir()
    os.chdir(folder / "elsewhere")
    assert main([*command, "--resume"]) == 0  # as many as before: nothing is left to do
    assert "6 evaluations on" in capfd.readouterr().out
    assert main([*command, "--resume", "--max-evals", "100"]) == 0
    assert "no more than 15 different architectures" in capfd.readouterr().out

    results = pd.read_parquet(folder / "run" / "results.parquet")
    assert results["failure"].isna().all(), results["error"].tolist()
    assert len(results) == 15  # 27 sequences, of which some are one and the same network
    assert results["architecture"].is_unique
    assert set(results["choice_batch_size"]) <= {"identity", "4 relu", "8 relu"}
    hidden = results["arch_seq"].map(lambda sequence: int(np.count_nonzero(sequence)))
    assert (results["layers"] == hidden + 2).all()  # with the input and the output
    assert (results["layers_total"] == hidden + 1).all()  # those that have weights

    curves = pd.read_parquet(folder / "run" / "curves.parquet")
    assert set(curves["metric"]) == {"loss", "mae", "val_loss", "val_mae"}
    assert set(curves["model_id"]) == set(results["model_id"])
    best = results.set_index("model_id")["objective"]
    losses = curves[curves["metric"] == "val_loss"].groupby("model_id")["value"].min()
    np.testing.assert_allclose(losses.sort_index(), -best.sort_index())
    np.testing.assert_allclose(results["val_loss"], -results["objective"])
    main(["store", "ls", str(folder / "run"), "--csv", str(folder / "models.csv")])
    models = pd.read_csv(folder / "models.csv", dtype={"model_id": "uint64"})
    layers = results.set_index("model_id")["layers"]
    for row in models.itertuples():
        assert row.num_layers == layers[f"{row.model_id:016x}"]
