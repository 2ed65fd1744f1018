"""Weights belong to data: donors are models of the same data, unless one says otherwise."""

import keras
import pytest

from parsl_tl.cli.program import main
from parsl_tl.errors import InvalidValueError
from parsl_tl.problems import get_problem
from parsl_tl.spaces import get_space
from parsl_tl.store import open_store
from parsl_tl.training import TrainingConfig, run_transfer_trainer

ARCHITECTURE = [3, 4, 0]
SPACE_ARGS = {"num_layers": 3}


@pytest.fixture
def store(tmp_path):
    return f"embedded:{tmp_path / 'store'}"


def evaluate(store, model_id, **job):
    done = run_transfer_trainer(
        {"arch_seq": ARCHITECTURE, "model_id": model_id, **job},
        problem="digits",
        space="feed-forward",
        space_args=SPACE_ARGS,
        store=store,
        training={"epochs": 1},
    )
    assert not isinstance(done["objective"], str), done["metadata"]["error"]
    return done["metadata"]


def test_another_split_gives_no_weights(store):
    evaluate(store, 1)
    assert evaluate(store, 2, problem_args={"seed": 1})["donor"] is None
    assert evaluate(store, 3)["donor"] == 1
    assert evaluate(store, 4, problem_args={"seed": 1})["donor"] == 2


def test_any_data_or_named_data(store):
    evaluate(store, 1)
    other = {"problem_args": {"seed": 1}}
    assert evaluate(store, 2, **other, donors="any")["donor"] == 1
    known = get_problem("digits").fingerprint()
    with open_store(store) as opened:
        opened.retire(2)
    assert evaluate(store, 3, **other, donors=[known])["donor"] == 1


def test_files_keep_to_the_same_data_too(tmp_path):
    keywords = {"transfer_method": "hdf5", "transfer_args": {"folder": str(tmp_path / "models")}}
    evaluate(None, 1, **keywords)
    assert evaluate(None, 2, **keywords, problem_args={"seed": 1})["donor"] is None
    assert evaluate(None, 3, **keywords)["donor"] == 1


def test_donors_are_checked():
    with pytest.raises(InvalidValueError, match="donors is 'some'"):
        TrainingConfig.for_problem(get_problem("digits"), donors="some")


def test_a_keras_model_is_a_donor(store, tmp_path, capsys):
    problem = get_problem("digits")
    graph = get_space("feed-forward", **SPACE_ARGS).build(
        ARCHITECTURE, problem.input_shape, problem.output_heads()
    )
    model = graph.to_keras()
    file = tmp_path / "pretrained.keras"
    model.save(file)
    where = [store, str(file)]
    assert main(["store", "import", *where, "--problem", "digits", "--id", "2a"]) == 0
    assert "Model 000000000000002a: 4 layers" in capsys.readouterr().out
    told = evaluate(store, 7)
    assert (told["donor"], told["layers_transferred"]) == (0x2A, 3)
    with open_store(store, read_only=True) as opened:
        assert opened.info(0x2A)["fingerprint"] == problem.fingerprint()

    assert main(["store", "import", *where]) == 0
    assert "--donors any only" in capsys.readouterr().out


def test_nested_models_are_told(store, tmp_path, capsys):
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="backbone")
    outer = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2)])
    outer.save(tmp_path / "nested.keras")
    assert main(["store", "import", store, str(tmp_path / "nested.keras")]) == 0
    assert "Layer 'backbone' is a model itself: it matches as a whole" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"no model"])
def test_what_is_no_model(store, tmp_path, capsys, content):
    file = tmp_path / "wrong.keras"
    if content is not None:
        file.write_bytes(content)
    assert main(["store", "import", store, str(file)]) == 2
    assert str(file) in capsys.readouterr().err
