"""Callbacks of a search: told of everything that ends, and unable to end the search."""

from types import SimpleNamespace

import pytest
from long_run import write_long_run

from parsl_tl.report.run import read_run
from parsl_tl.search.callbacks import SearchCallback, SearchCallbacks, SearchInfo, evaluation_of
from parsl_tl.search.journal import read_journal


class Noting(SearchCallback):
    """Notes what it is told."""

    def __init__(self, fails_at=None):
        self.told = []
        self.fails_at = fails_at

    def on_search_begin(self, search, earlier):
        self.told.append((search.name, [one.job for one in earlier]))

    def on_evaluation_end(self, evaluation):
        if evaluation.job == self.fails_at:
            raise OSError("the tracker is away")
        self.told.append(evaluation.job)

    def on_search_end(self):
        self.told.append("end")


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("told") / "run"
    write_long_run(folder, 12, workers=2, failing=0.4, population_size=4)
    run = read_run(folder)
    rows = read_journal(folder / "journal.jsonl")
    info = SearchInfo(folder, run.settings, run.space)
    return SimpleNamespace(run=run, rows=rows, info=info)


def test_all_are_told_and_one_that_raises_is_left_out(search):
    good, bad, notes = Noting(), Noting(search.rows[7]["config"]["job"]), []
    callbacks = SearchCallbacks([bad, good], search.info, notes.append)
    callbacks.begin(lambda: search.rows[:5])
    for row in search.rows[5:]:
        callbacks.ended(row)
    callbacks.end()
    jobs = [row["config"]["job"] for row in search.rows]
    assert good.told == [("run", jobs[:5]), *jobs[5:], "end"]
    assert bad.told == [("run", jobs[:5]), *jobs[5:7]]
    (note,) = notes
    assert note == ("Callback Noting failed and is told nothing more: OSError: the tracker is away")


def test_an_evaluation_is_what_the_results_say(search):
    frame = search.run.frame.set_index("job")
    assert frame["objective"].isna().any()
    for row in search.rows:
        found = evaluation_of(row, search.run.space)
        told = frame.loc[found.job]
        assert found.model_id == told["model_id"]
        assert (found.objective is None) == (told["objective"] != told["objective"])
        assert found.failure == (told["failure"] if isinstance(told["failure"], str) else None)
        if found.objective is not None:
            assert found.objective == told["objective"]
        assert list(found.choices.values()) == search.run.space.labels(told["arch_seq"])
        assert found.metrics["val_loss"] == told["val_loss"]
        without = evaluation_of(row, None)
        assert list(without.choices.values()) == told["arch_seq"]
