"""Donors and lineages of a run and of populations."""

import itertools

import numpy as np
import pandas as pd
import pytest

from parsl_tl import longest_common_prefix
from parsl_tl.analysis.population_source import load_population, member_graph
from parsl_tl.analysis.transfer_topics import (
    depths,
    donor_lives,
    lineage,
    popularity,
    prefix_lengths,
    still_useful,
)
from parsl_tl.analysis.transfers import Transfers, from_campaign, from_population
from parsl_tl.errors import InvalidValueError
from parsl_tl.population import read_population
from parsl_tl.search.results import results_frame, write_results

# Many processes, or much TensorFlow.
pytestmark = pytest.mark.slow

FILES = (
    "transfers",
    "prefix_lengths",
    "popularity",
    "popularity_overall",
    "donors",
    "still_useful",
    "lineage",
)
PLOTS = ("prefix_lengths.png", "popularity.png", "donors.png", "lineage.png")


def evaluation(number, parent=None, donor=None, layers=0, objective=0.5):
    return {
        "config": {"job": number, "model_id": 100 + number, "parent": parent, "layer_0": number},
        "objective": objective,
        "metadata": {"donor": donor, "layers_transferred": layers, "layers_total": 8},
    }


@pytest.fixture
def run(tmp_path):
    """Three random models, a failure, and four children."""
    rows = [
        evaluation(0),
        evaluation(1),
        evaluation(2, objective="F_NaNLossError"),
        evaluation(3),
        evaluation(4, parent=100, donor=100, layers=4),
        evaluation(5, parent=104, donor=104, layers=6),
        evaluation(6, parent=104, donor=100, layers=5),
        evaluation(7, parent=103),
    ]
    folder = tmp_path / "run"
    folder.mkdir()
    write_results(results_frame(rows, ["layer_0"]), folder)
    return folder


def test_a_run_with_known_answers(run):
    transfers = from_campaign(run)
    assert transfers.parents.tolist() == [-1, -1, -1, 0, 3, 3, 2]
    assert transfers.donors.tolist() == [-1, -1, -1, 0, 3, 0, -1]
    assert transfers.receivers.tolist() == [3, 4, 5]
    lengths = prefix_lengths(transfers).set_index("layers_transferred")
    assert lengths.models.to_dict() == {0: 1, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 1}
    assert lengths.at_least.tolist() == [1, *[0.75] * 4, 0.5, 0.25]
    lives = donor_lives(transfers).set_index("donor")
    assert lives.index.tolist() == [f"{100:016x}", f"{104:016x}"]
    assert lives.transfers.tolist() == [2, 1]
    assert lives.layers.tolist() == [4.5, 6]
    assert lives[["first_age", "last_age"]].to_numpy().tolist() == [[3, 5], [1, 1]]
    assert depths(transfers.parents).tolist() == [0, 0, 0, 1, 2, 2, 1]
    assert lineage(transfers).by_donor.tolist() == [4, 2, 1]
    useful = still_useful(transfers).set_index("age")
    # At age 2 both donors count, of which one has a later receiver; at age 4 the older one only.
    assert useful.still_useful.to_dict() == {0: 1, 1: 1, 2: 0.5, 3: 0.5, 4: 1, 5: 1}
    assert useful.donors.to_dict() == {0: 2, 1: 2, 2: 2, 3: 2, 4: 1, 5: 1}
    followed, overall = popularity(transfers, 2, 1)
    assert followed.share.tolist() == [0.5, 0.5]
    assert overall.end.tolist() == [4, 5]
    assert overall.effective_donors.tolist() == pytest.approx([2, 2])


def test_shares_in_a_window():
    donors = np.array([-1, 0, 0, 1, 1, 1], np.int64)
    none = np.full(6, -1, np.int64)
    ones = np.ones(6, np.int64)
    transfers = Transfers(list("abcdef"), none, donors, ones, ones, ones.astype(bool), "layers", "")
    followed, overall = popularity(transfers, 3, 5)
    shares = followed.pivot(index="end", columns="donor", values="share")
    assert shares.to_numpy() == pytest.approx(np.array([[2, 1], [1, 2], [0, 3]]) / 3)
    assert overall.largest_share.tolist() == pytest.approx([2 / 3, 2 / 3, 1])
    assert overall.donors.tolist() == [2, 2, 1]
    with pytest.raises(InvalidValueError, match="window 0"):
        popularity(transfers, 0, 5)


def test_a_members_donor_shares_most_of_all_earlier_ones(population):
    transfers = from_population(load_population([population]), lambda share: None)
    graphs = [member_graph(population, number) for number in range(60)]
    for number, graph in enumerate(graphs):
        shared = [len(longest_common_prefix(graph, other)) for other in graphs[:number]]
        longest = max(shared, default=1)
        assert transfers.transferred[number] == longest - 1  # the input is shared by all
        assert transfers.layers[number] == len(graph) - 1
        if longest > 1:
            latest = max(i for i, length in enumerate(shared) if length == longest)
            assert transfers.donors[number] == latest
        else:
            assert transfers.donors[number] == -1


def test_generations_are_one_history(generations):
    population = load_population(generations)
    assert len(population) == 60 + 20 + 10
    assert population.names[:2] == ["0:0", "0:1"]
    assert population.names[60:62] == ["1:0", "1:1"]
    assert population.names[80] == "2:0"
    expected = [*[-1] * 60, *range(20), *range(60, 70)]
    assert population.parents.tolist() == expected
    rows = population.arch_seqs
    for child, parent in enumerate(population.parents.tolist()):
        if parent >= 0:
            assert (rows[child] != rows[parent]).sum() == 1
    assert (rows[-10:] == read_population(generations[-1]).arch_seqs()[:10]).all()
    assert lineage(from_population(population, lambda share: None)).by_parent[:3].tolist() == [
        60,
        20,
        10,
    ]


def check_results(out, printed):
    for name in FILES:
        table = pd.read_csv(out / f"{name}.csv")
        assert len(table) == len(pd.read_parquet(out / f"{name}.parquet"))
    for name in PLOTS:
        assert (out / name).stat().st_size > 5000
    assert len(list(out.iterdir())) == 2 * len(FILES) + len(PLOTS)
    assert "lineage.png" in printed
    return pd.read_parquet(out / "transfers.parquet")


def test_the_app_on_a_run(run_app, run, tmp_path):
    ended = run_app("analyze_evolution.py", run, "--out", "out")
    assert ended.returncode == 0, ended.stderr
    table = check_results(tmp_path / "out", ended.stdout)
    assert table.donor.dropna().tolist() == [f"{i:016x}" for i in (100, 104, 100)]
    for words in ("the donor is the parent", "2 (67%)", "ancestors by donor", f"{100:016x}"):
        assert words in ended.stdout


def test_the_app_on_generations(run_app, generations, tmp_path):
    ended = run_app("analyze_evolution.py", *generations, "--window", "7", "--out", "out")
    assert ended.returncode == 0, ended.stderr
    assert len(check_results(tmp_path / "out", ended.stdout)) == 90


@pytest.mark.parametrize("kind", ["run", "population"])
def test_nothing_was_transferred(run_app, tmp_path, kind):
    folder = tmp_path / "alone"
    if kind == "run":
        folder.mkdir()
        write_results(results_frame([evaluation(0), evaluation(1)], ["layer_0"]), folder)
    else:
        from parsl_tl.population import PopulationDescription, plan, write_part

        write_part(plan(PopulationDescription.of(1), folder), 0, 1)
    ended = run_app("analyze_evolution.py", folder, "--out", "out")
    assert ended.returncode == 0, ended.stderr
    check_results(tmp_path / "out", ended.stdout)


def test_what_cannot_be_read_is_told_in_one_line(refused, run, tmp_path, population, generations):
    def message(*arguments):
        return refused("analyze_evolution.py", *arguments)

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "has neither results.parquet" in message(empty)
    assert "nowhere is no folder" in message("nowhere")
    assert "--window 0 must be at least 1" in message(run, "--window", "0")
    (tmp_path / "file").touch()
    assert "name another folder" in message(run, "--out", "file/out")
    assert "analyze each search by itself" in message(run, run)
    assert "does not follow" in message(generations[0], generations[2])
    assert "does not follow" in message(*reversed(generations[:2]))
    assert "holds no population" in message(population, empty)
    data = (run / "results.parquet").read_bytes()
    for text in (data[: len(data) // 2], b""):
        (run / "results.parquet").write_bytes(text)
        assert "results.parquet cannot be read" in message(run)
    pd.DataFrame({"x": [1]}).to_parquet(run / "results.parquet")
    assert "has no columns model_id, parent" in message(run)
    rows = [evaluation(0, objective="F_NaNLossError")]
    write_results(results_frame(rows, ["layer_0"]), run)
    assert "has no evaluation that succeeded" in message(run)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "metadata_0.json").write_text('{"seed": 1, "population": [[0, 1]]}')
    assert "does not say of which space" in message(foreign)
    for name, part in itertools.product(("metadata", "population"), range(2)):
        suffix = "json" if name == "metadata" else "parquet"
        (empty / f"{name}_{part}.{suffix}").write_bytes(
            (population / f"{name}_{part}.{suffix}").read_bytes()
        )
    cut = (population / "population_1.parquet").read_bytes()[:-100]
    (empty / "population_1.parquet").write_bytes(cut)
    assert "population_1.parquet cannot be read" in message(empty)
