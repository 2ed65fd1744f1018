"""Expected transfer: three ways to the same figures."""

import numpy as np
import pandas as pd
import pytest

from parsl_tl import longest_common_prefix
from parsl_tl.analysis.architecture_source import SequentialSource, SpaceSource
from parsl_tl.analysis.birthday_measured import measured_lengths
from parsl_tl.analysis.birthday_trials import GrowingIndex, evolved_trials, random_trials
from parsl_tl.analysis.closed_form import SequentialForm, closed_form, expected_length
from parsl_tl.analysis.population_source import load_population
from parsl_tl.errors import InvalidValueError
from parsl_tl.spaces import get_space

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow

SMALL = ("--trials", "10", "--candidates", "50", "--sizes", "1", "30", "200")


def ignore(_):
    pass


@pytest.mark.parametrize("options", [[2] * 20, [3, 30, 2, 5, 5]])
def test_monte_carlo_finds_the_closed_form_of_choices(options):
    form = SequentialForm(tuple(options))
    for lengths in random_trials(SequentialSource(options), [1, 20, 300], 40, 100, 0, ignore):
        _, low, high = lengths.mean(0.9999)
        assert low <= expected_length(form, lengths.num_stored) <= high
        for length, chance in enumerate(form.tail(lengths.num_stored)):
            _, low, high = lengths.tail(length, 0.9999)
            assert low <= chance <= high


@pytest.mark.parametrize("input_shape", [(10,), [(3,), (4,)]])
def test_monte_carlo_finds_the_closed_form_of_layers(input_shape):
    space = get_space("feed-forward", num_layers=5, units=(1, 4, 1), activations=["relu"])
    form = closed_form(space, input_shape, (1,))
    source = SpaceSource(space, input_shape, (1,))
    for lengths in random_trials(source, [1, 20, 300], 40, 100, 0, ignore):
        _, low, high = lengths.mean(0.9999)
        assert low <= expected_length(form, lengths.num_stored) <= high


def test_a_random_population_measures_the_closed_form(sequential_population):
    population = load_population([sequential_population])
    form = closed_form(get_space("feed-forward", num_layers=10), (32,), (1,))
    found = measured_lengths(population, [1, 10, 100, 2000], 40, 100, 0, 100, ignore)
    assert [(item.num_stored, item.same_population) for item in found] == [
        (1, False),
        (10, False),
        (100, False),
        (2000, True),  # there is no second population of this size
    ]
    for lengths in found[:3]:
        assert (lengths.population, lengths.candidates) == ("random", "random")
        _, low, high = lengths.mean(0.9999)
        assert low <= expected_length(form, lengths.num_stored) <= high


@pytest.mark.parametrize(
    "space", [get_space("dense-skip", num_layers=3), get_space("feed-forward")]
)
def test_lengths_are_those_of_the_longest_common_prefix(space):
    source = SpaceSource(space, (5,), (2,), "softmax")
    rng = np.random.default_rng(3)
    stored, asked = source.random(200, rng), source.random(60, rng)
    asked[:10] = stored[:10]
    graphs = [
        [space.build(row, (5,), (2,), "softmax") for row in rows.tolist()]
        for rows in (stored, asked)
    ]
    index = GrowingIndex(source.keys(stored))
    for size in (1, 50, 200):
        index.grow_to(size)
        expected = [
            max(len(longest_common_prefix(child, other)) for other in graphs[0][:size])
            for child in graphs[1]
        ]
        assert index.longest(source.keys(asked)).tolist() == expected


def test_children_of_evolved_members_share_most():
    source = SpaceSource(get_space("dense-skip"), (5,), (2,))
    found = evolved_trials(source, [5, 400], 6, 40, 0, 20, 3, ignore)
    means = {(item.candidates, item.num_stored): item.mean(0.95) for item in found}
    assert set(means) == {(kind, n) for kind in ("random", "mutated") for n in (5, 400)}
    for size in (5, 400):
        assert means["mutated", size].low > means["random", size].high
    again = evolved_trials(source, [5, 400], 6, 40, 0, 20, 3, ignore)
    other = evolved_trials(source, [5, 400], 6, 40, 1, 20, 3, ignore)
    assert [item.mean(0.95) for item in again] == [item.mean(0.95) for item in found]
    assert [item.mean(0.95) for item in other] != [item.mean(0.95) for item in found]


def test_tables_and_plots(run_app, tmp_path):
    ended = run_app("birthday.py", *SMALL, "--out", "new/results", "--seed", "4")
    assert ended.returncode == 0, ended.stderr
    assert "Expected longest prefix, layers" in ended.stdout
    assert "of 3 n, with 95% intervals" in ended.stdout
    out = tmp_path / "new" / "results"
    assert sorted(path.name for path in out.iterdir()) == [
        "expected.csv",
        "expected.parquet",
        "expected.png",
        "probabilities.csv",
        "probabilities.parquet",
        "probabilities.png",
    ]
    expected = pd.read_csv(out / "expected.csv")
    pd.testing.assert_frame_equal(
        expected, pd.read_parquet(out / "expected.parquet"), check_dtype=False
    )
    assert expected.groupby(["method", "population", "candidates"]).n.apply(list).to_dict() == {
        ("closed form", "random", "random"): [1, 30, 200],
        ("Monte Carlo", "random", "random"): [1, 30, 200],
        ("Monte Carlo", "evolved", "random"): [1, 30, 200],
        ("Monte Carlo", "evolved", "mutated"): [1, 30, 200],
    }
    assert ((expected.low <= expected["mean"]) & (expected["mean"] <= expected.high)).all()
    chances = pd.read_csv(out / "probabilities.csv")
    assert chances[["low", "probability", "high"]].stack().between(0, 1 + 1e-12).all()
    # The expectation is the sum of the probabilities; all models share the input layer.
    assert chances.length.min() == 2
    keys = ["method", "population", "candidates", "n"]
    sums = 1 + chances.groupby(keys).probability.sum()
    assert sums.to_numpy() == pytest.approx(expected.groupby(keys)["mean"].first(), abs=1e-4)
    again = run_app("birthday.py", *SMALL, "--out", "again", "--seed", "4")
    assert again.returncode == 0
    for name in ("expected.csv", "probabilities.csv", "expected.png"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_choices_alone(run_app, tmp_path):
    arguments = ("--options", "2", "--choices", "20", "--sizes", "300", "--trials", "30")
    ended = run_app("birthday.py", *arguments, "--out", "out")
    assert ended.returncode == 0, ended.stderr
    chances = pd.read_csv(tmp_path / "out" / "probabilities.csv")
    closed = chances[chances.method == "closed form"].set_index("length").probability
    assert closed[[5, 8, 10, 14]].round(3).tolist() == [1.0, 0.691, 0.254, 0.018]


def test_populations_random_and_evolved(run_app, tmp_path, population, generations):
    common = ("--trials", "4", "--candidates", "30", "--no-evolved")
    ended = run_app("birthday.py", "--population", population, *common, "--out", "random")
    assert ended.returncode == 0, ended.stderr
    assert "No closed form" in ended.stdout
    table = pd.read_csv(tmp_path / "random" / "expected.csv")
    measured = table[table.method == "measured"]
    assert measured.n.tolist() == [1, 3, 10, 30]  # 60 members
    assert measured.interval.tolist() == ["populations"] * 3 + ["candidates"]
    ended = run_app("birthday.py", "--population", generations[-1], *common, "--out", "evolved")
    assert ended.returncode == 0, ended.stderr
    table = pd.read_csv(tmp_path / "evolved" / "expected.csv")
    measured = table[table.method == "measured"].set_index(["candidates", "n"])
    assert set(measured.population) == {"evolved"}
    assert (measured.loc["mutated"]["low"] > measured.loc["random"]["high"]).all()


def test_wrong_values_are_told_in_one_line(refused, tmp_path, population):
    (tmp_path / "file").touch()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("metadata_0.json", "metadata_1.json"):
        (damaged / name).write_bytes((population / name).read_bytes())
    table = (population / "population_0.parquet").read_bytes()
    (damaged / "population_0.parquet").write_bytes(table[: len(table) // 2])

    def message(*options):
        return refused("birthday.py", *options)

    assert "name another folder" in message("--out", "file/results")
    assert "--trials 1 must be at least 2" in message("--trials", "1")
    assert "--sizes 0 must be at least 1" in message("--sizes", "0", "5")
    assert "--seed -1 must not be negative" in message("--seed", "-1")
    assert "confidence 95.0 must be between 0 and 1" in message("--confidence", "95")
    assert "no search space is called 'x'" in message("--space", "x")
    assert "'num_layers' must have the form" in message("--space-arg", "num_layers")
    assert "such as (units,)" in message("--output-shape", "0")
    assert "options [2, 0] must be positive" in message("--options", "2", "0")
    assert "--options lists 2" in message("--options", "2", "3", "--choices", "7")
    assert "leave it out with --no-evolved" in message(
        "--space-arg", "units=(1,150,1)", "--space-arg", "activations=['relu']"
    )
    assert "holds no population" in message("--population", str(tmp_path))
    assert "is no folder" in message("--population", "nowhere")
    assert "the population has 60 members" in message("--population", population, "--sizes", "61")
    assert "population_0.parquet cannot be read" in message("--population", damaged)


def test_a_source_needs_options():
    with pytest.raises(InvalidValueError):
        SequentialSource([])
