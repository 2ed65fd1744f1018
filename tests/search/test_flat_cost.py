"""What a campaign does for each result does not grow with the results before."""

import logging
import random
import threading

import pytest

from parsl_tl.search.best_models import BestModels
from parsl_tl.search.campaign_log import campaign_log
from parsl_tl.search.journal import Journal
from parsl_tl.search.rare_writing import RareWriting
from parsl_tl.search.retirement import Retirement
from parsl_tl.search.short_history import ShortHistory


@pytest.mark.parametrize("size", [0, 1, 5])
def test_the_best_models_are_those_that_sorting_finds(size):
    numbers = random.Random(1)
    objectives = {model: numbers.choice([0.1, 0.2, 0.3, 0.4]) for model in range(200)}
    best = BestModels(size)
    for added, (model, objective) in enumerate(objectives.items(), start=1):
        best.add(model, objective)
        so_far = list(objectives)[:added]
        assert set(best) == set(sorted(so_far, key=lambda m: -objectives[m])[:size])


class Place:
    """A transfer method that notes what is retired."""

    is_remote = False

    def __init__(self):
        self.retired = []

    def open(self, quick):
        return self

    def retire(self, model_id):
        self.retired.append(model_id)

    def close(self):
        pass


def test_retirement_keeps_what_may_still_go_and_no_more():
    place = Place()
    retirement = Retirement(place, keep_best=3)
    for model in range(2000):
        objective = model % 500 / 500
        retirement.finished({"config": {"model_id": model}, "objective": objective, "metadata": {}})
        if model >= 10:
            retirement.expire(model - 10)
        assert len(retirement._expired) <= 3
    kept = set(range(2000)) - set(place.retired)
    assert kept == {499, 999, 1499, *range(1990, 2000)}


def test_tables_take_a_fiftieth_of_the_time():
    now, written = 0.0, []

    def write():
        nonlocal now
        now += 0.001 * now  # as long as the search is
        written.append(now)

    tables = RareWriting(write, lambda: now)
    for _ in range(200_000):
        now += 1.0
        tables.write_when_due()
    assert sum(0.001 * time for time in written) < 0.025 * now
    assert written[0] < 20
    assert len(written) > 50


def test_a_journal_holds_nothing_of_what_it_has_written(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for job in range(50):
        journal.submitted({"job": job})
        journal.finish({"job": job}, 0.5, {})
    held = [value for value in vars(journal).values() if isinstance(value, list | dict | set)]
    assert sum(map(len, held)) == 0
    assert [row["config"]["job"] for row in journal.finished] == list(range(50))
    journal.close()


def test_a_short_history_has_the_last_results():
    history = ShortHistory(problem=None)
    jobs = [type("Job", (), {"id": str(number), "objective": 0.0})() for number in range(9)]
    for job in jobs:
        history.extend([job])
    history.extend([])
    assert history.jobs == jobs[-1:]


def test_each_campaign_has_its_own_log(tmp_path):
    both = threading.Barrier(2)
    logger = logging.getLogger("parsl_tl.search")

    def search(name):
        with campaign_log(tmp_path / name):
            both.wait(timeout=60)
            logger.info("of %s", name)
            both.wait(timeout=60)

    threads = [threading.Thread(target=search, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, other in (("one", "two"), ("two", "one")):
        text = (tmp_path / name).read_text()
        assert f"of {name}" in text
        assert f"of {other}" not in text
