"""The best models of a search as folders: whole, the same, and with where they come from."""

import json
import re

import numpy as np
import pytest
from stored_run import write_stored_run

from parsl_tl import open_store
from parsl_tl.architecture.predictions import example_inputs, predict
from parsl_tl.cli import main
from parsl_tl.errors import InvalidValueError
from parsl_tl.export import export_models
from parsl_tl.search.results import best_first
from parsl_tl.store import load_keras_model, parse_model_id

yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_stored_run(tmp_path_factory.mktemp("search") / "run", 14)


@pytest.fixture(scope="module")
def best(run):
    return best_first(run.frame)["model_id"].iloc[0]


@pytest.fixture(scope="module")
def heir(run):
    """The model that owns the smallest share of its layers, and some."""
    with open_store(run.settings.store_uri(run.folder), read_only=True) as store:
        rows = store.models().to_pylist()
    owners = [row for row in rows if row["bytes_owned"]]
    found = min(owners, key=lambda row: row["bytes_owned"] / row["bytes_total"])
    assert found["bytes_owned"] < found["bytes_total"]
    return f"{found['model_id']:016x}"


@pytest.fixture(scope="module")
def exported(run, heir, tmp_path_factory):
    """A model that has inherited, as Keras file and as safetensors, by the command."""
    out = tmp_path_factory.mktemp("exports")
    formats = ["--format", "keras", "safetensors"]
    arguments = ["export", run.folder, "--model", heir[:9], *formats, "--out", out]
    assert main([str(one) for one in arguments]) == 0
    assert names_in(out) == [heir]
    return out / heir


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def read_card(folder):
    head, text = (folder / "README.md").read_text().removeprefix("---\n").split("---\n", 1)
    return yaml.safe_load(head), text


def test_what_the_card_says_loads_what_the_store_has(run, heir, exported, monkeypatch):
    with open_store(run.settings.store_uri(run.folder), read_only=True) as store:
        stored = load_keras_model(store, parse_model_id(heir))
    inputs = example_inputs(stored, seed=3)
    monkeypatch.chdir(exported)
    assert len({path.stat().st_mode for path in exported.iterdir()}) == 1
    _, text = read_card(exported)
    codes = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(codes) == 2
    for code in codes:
        names = {}
        exec(code, names)  # as its reader does
        for one, other in zip(
            predict(names["model"], inputs), predict(stored, inputs), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_head_of_the_card(run, heir, exported):
    head, _ = read_card(exported)
    assert head["library_name"] == "keras"
    assert "license" not in head  # it is the giver's to name
    assert "neural-architecture-search" in head["tags"]
    assert head["pipeline_tag"] == "tabular-classification"
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert result["task"]["type"] == "tabular-classification"
    assert result["dataset"]["name"] == "digits"
    values = {one["type"]: one["value"] for one in result["metrics"]}
    row = run.frame.set_index("model_id").loc[heir]
    assert values == {name: row[name] for name in ("val_accuracy", "val_loss")}


def test_the_hub_reads_the_card(exported):
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard.load(exported / "README.md").data
    assert data.library_name == "keras"
    assert {one.dataset_name for one in data.eval_results} == {"digits"}


def test_the_facts_are_those_of_store_and_journal(run, heir, exported):
    facts = json.loads((exported / "card.json").read_text())
    number = parse_model_id(heir)
    with open_store(run.settings.store_uri(run.folder), read_only=True) as store:
        owners = {name: f"{owner:016x}" for name, owner in store.composition(number).items()}
        weighted = store.shapes(number)
        ancestors = [f"{one:016x}" for one in store.lineage(number)]
        count = sum(np.prod(shape) for one in weighted.values() for shape, _ in one)
    told = {
        name: one["model_id"] for one in facts["lineage"]["layers_from"] for name in one["layers"]
    }
    assert told == {name: owners[name] for name in weighted}
    assert len(set(told.values())) > 1  # it has inherited something
    assert facts["lineage"]["ancestors"] == ancestors
    assert facts["parameters"] == count
    assert facts["data"] == {
        "problem": "digits",
        "arguments": {},
        "fingerprint": "ab00000000000000",
    }
    row = run.frame.set_index("model_id").loc[heir]
    assert facts["objective"] == {"name": "val_accuracy", "value": row["objective"]}
    labels = run.space.labels(row["arch_seq"])
    assert list(facts["architecture"]["choices"].values()) == labels
    assert facts["command"].startswith("parsl-tl search")
    assert str(run.folder) not in (exported / "README.md").read_text()
    assert facts["versions"]["export"]["keras"]


def test_what_evaluate_found_is_told(run, best, tmp_path):
    import pandas as pd

    frame = pd.DataFrame(
        {"model_id": [best], "test_accuracy": [0.875], "test_loss": [float("nan")]}
    )
    file = run.folder / "evaluate.parquet"
    frame.to_parquet(file)
    try:
        export_models(run.folder, tmp_path)
    finally:
        file.unlink()
    head, text = read_card(tmp_path / best)
    found = {one["type"]: one["value"] for one in head["model-index"][0]["results"][0]["metrics"]}
    assert found["test_accuracy"] == 0.875
    assert "test_loss" not in found
    assert "| test_accuracy | 0.875 | test |" in text


def test_an_export_is_replaced_on_purpose_only(run, best, tmp_path):
    (one,) = export_models(run.folder, tmp_path, formats=["safetensors"])
    before = one.folder.stat().st_ino
    with pytest.raises(InvalidValueError, match="exists; name another folder"):
        export_models(run.folder, tmp_path)
    assert one.folder.stat().st_ino == before
    (one,) = export_models(run.folder, tmp_path, overwrite=True)
    assert names_in(tmp_path) == [best]
    assert names_in(one.folder) == ["README.md", "card.json", "model.keras"]


def test_models_that_were_retired_are_told_of(tmp_path, capsys):
    run = write_stored_run(tmp_path / "run", 6)
    ids = best_first(run.frame)["model_id"]
    with open_store(run.settings.store_uri(run.folder)) as store:
        store.retire(parse_model_id(ids.iloc[1]))
    out = tmp_path / "out"
    assert main(["export", str(run.folder), "--top", "3", "--out", str(out)]) == 1
    told = capsys.readouterr().out
    assert f"Not written: model {ids.iloc[1]} was retired" in told
    assert names_in(out) == sorted([ids.iloc[0], ids.iloc[2]])
    assert main(["export", str(run.folder), "--model", ids.iloc[1][:9], "--out", str(out)]) == 2
    assert "--keep-best" in capsys.readouterr().err


def run_program(arguments):
    """Returns the exit code, whether it is the parser that ends it or the command."""
    try:
        return main([str(one) for one in arguments])
    except SystemExit as ended:
        return ended.code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "zz"], "no model id"),
        (["--model", "ffffffffffffffff"], "no model of the search that succeeded starts with"),
        (["--model", ""], "no model id"),
        (["--out", "/proc/exports"], "name another folder"),
        (["--format", "h5"], "invalid choice"),
        (["--top", "0"], "at least 1"),
    ],
)
def test_mistakes_are_told_in_a_line(run, options, message, tmp_path, capsys):
    out = [] if "--out" in options else ["--out", str(tmp_path)]
    assert run_program(["export", run.folder, *options, *out]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
