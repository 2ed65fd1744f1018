"""Run functions get what DeepHyper's evaluators give them, and may return what these take."""

import asyncio
import math

import numpy as np
import parsl
import pytest
from deephyper.evaluator import HPOJob, JobStatus, RunningJob
from deephyper.evaluator.storage import MemoryStorage, Storage
from deephyper.hpo import HpProblem, RandomSearch
from deephyper.stopper import SuccessiveHalvingStopper

from parsl_tl import ParslEvaluator, load_config
from parsl_tl.search.job_storage import JobStorage
from parsl_tl.search.storage_calls import METHODS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def workers(tmp_path_factory):
    config = load_config("local", max_workers=2, run_dir=str(tmp_path_factory.mktemp("parsl")))
    with parsl.load(config):
        yield


def problem():
    space = HpProblem()
    space.add_hyperparameter((0.0, 10.0), "x")
    return space


def evaluate(run, *configs, **kwargs):
    evaluator = ParslEvaluator(run, **kwargs)
    evaluator._job_class = HPOJob
    evaluator.submit(list(configs))
    jobs = sorted(evaluator.gather("ALL"), key=lambda job: int(job.id.split(".")[1]))
    evaluator.close()
    return jobs


def test_workers_know_all_methods_of_a_storage():
    assert frozenset(Storage.__abstractmethods__) - {"_connect"} == METHODS


def look(job):
    before = "deephyper" in __import__("sys").modules
    from deephyper.evaluator import JobStatus, RunningJob

    job["y"] = 1
    job.record(1, 0.25)
    return {
        "objective": job.objective,
        "metadata": {
            "loaded_before": before,
            "is_running_job": isinstance(job, RunningJob),
            "parameters": dict(job.parameters),
            "mapping": {**job},
            "job_id": job["job_id"],
            "id": job.id,
            "running": job.status is JobStatus.RUNNING,
            "stopped": job.stopped(),
            "text": repr(job),
        },
    }


@pytest.mark.parametrize("storage", [None, MemoryStorage])
def test_a_run_function_gets_a_running_job(storage):
    """On both kinds of worker: those with DeepHyper, and those which have not needed it yet."""
    configs = [{"x": number} for number in range(8)]
    jobs = evaluate(look, *configs, storage=storage and storage())
    for number, job in enumerate(jobs):
        seen = job.metadata
        assert job.objective == 0.25
        assert seen["parameters"] == seen["mapping"] == {"x": number, "y": 1}
        assert (seen["id"], seen["job_id"]) == (job.id, number)
        assert seen["is_running_job"]
        assert seen["running"]
        assert not seen["stopped"]
        assert seen["text"].startswith(f"RunningJob(id={job.id}, ")
        assert job.args == {"x": number}
    assert isinstance(RunningJob(), RunningJob)


def test_workers_do_not_import_deephyper_for_it():
    # Made outside this module: functions of a module bring along what it has imported.
    names = {}
    exec(
        "def run(job):\n"
        "    import sys\n"
        "    return {'objective': job['x'], 'metadata': {'loaded': 'deephyper' in sys.modules}}\n",
        names,
    )
    config = load_config("local", max_workers=1, run_dir=f"{parsl.dfk().run_dir}/fresh")
    with parsl.DataFlowKernel(config) as kernel:
        (job,) = evaluate(names["run"], {"x": 1.5}, kernel=kernel)
    assert job.objective == 1.5
    assert job.metadata["loaded"] is False


def test_asynchronous_run_functions_are_awaited():
    async def run(job, offset):
        import asyncio

        await asyncio.sleep(0.01)
        return job["x"] + offset

    jobs = evaluate(run, {"x": 1.0}, {"x": 2.0}, run_function_kwargs={"offset": 0.5})
    assert [job.objective for job in jobs] == [1.5, 2.5]


def test_an_asynchronous_one_that_takes_too_long_fails_and_frees_its_worker():
    async def run(job):
        import asyncio

        await asyncio.sleep(job["x"])
        return 1.0

    configs = [{"x": 3600}, {"x": 3600}, {"x": 0}, {"x": 0}]
    jobs = evaluate(run, *configs, evaluation_timeout=2)
    assert [job.objective for job in jobs] == ["F_EvaluationTimeout"] * 2 + [1.0] * 2


RESULTS = {
    "int": (3, 3.0),
    "numpy": (np.float32(0.5), 0.5),
    "numpy int": (np.int64(4), 4.0),
    "failure": ("F_memory", "F_memory"),
    "several": ((1.0, 2.0), (1.0, 2.0)),
    "dict": ({"objective": 2.0}, 2.0),
    "output": ({"output": 2.5, "metadata": {"a": 1}}, 2.5),
    "numbered metadata": ({"objective": 1.0, "metadata": {1: 2, None: 3}}, 1.0),
    "large metadata": ({"objective": 1.0, "metadata": {"log": "x" * 3_000_000}}, 1.0),
    "nan": (math.nan, "F"),
    "infinite": (math.inf, "F"),
    "nan of several": ((1.0, math.nan), "F_InvalidResult"),
    "none": (None, "F_InvalidResult"),
    "no objective": ({"metadata": {}}, "F_InvalidResult"),
    "metadata of another kind": ({"objective": 1.0, "metadata": [1]}, "F_InvalidResult"),
    "array": (np.zeros(3), "F_InvalidResult"),
    "job": (HPOJob("0.0", {}, None, MemoryStorage()), "F_InvalidResult"),
}


def test_results_of_every_kind_go_on(tmp_path):
    names = list(RESULTS)
    results = {number: RESULTS[name][0] for number, name in enumerate(names)}
    jobs = evaluate(lambda job: results[job["x"]], *[{"x": number} for number in results])
    assert {name: job.objective for name, job in zip(names, jobs, strict=True)} == {
        name: expected for name, (_, expected) in RESULTS.items()
    }
    # The tables of a search take them all.
    search = RandomSearch(problem(), random_state=1, log_dir=str(tmp_path))
    search.history.extend([job for job in jobs if not isinstance(job.objective, tuple)])
    search.dump_jobs_done_to_csv(flush=True)
    assert search.history.to_dataframe()["m:log"].str.len().max() == 3_000_000


def test_stoppers_see_what_others_have_recorded(tmp_path):
    def run(job):
        budget = 0
        for budget in range(1, 28):
            job.record(budget, job["x"] * budget)
            if job.stopped():
                break
        return {"objective": job.objective, "metadata": {"budget": budget}}

    stopper = SuccessiveHalvingStopper(max_steps=27, reduction_factor=3)
    search = RandomSearch(problem(), random_state=1, stopper=stopper, log_dir=str(tmp_path))
    frame = search.search(ParslEvaluator(run), max_evals=20, max_evals_strict=True)
    assert len(frame) == 20
    assert set(frame["m:budget"]) <= {1, 3, 9, 27}
    assert len(set(frame["m:budget"])) > 1


def test_a_run_function_that_looks_can_end_by_itself_when_the_time_is_over(tmp_path):
    def run(job, started):
        import time
        from pathlib import Path

        from deephyper.evaluator import JobStatus

        Path(started, job.id).touch()
        while job.status is not JobStatus.CANCELLING:
            time.sleep(0.05)
        return 42.0

    started = tmp_path / "started"
    started.mkdir()
    evaluator = ParslEvaluator(run, run_function_kwargs={"started": str(started)})
    search = RandomSearch(problem(), random_state=1, log_dir=str(tmp_path))
    frame = search.search(evaluator, timeout=10)
    assert len(frame) == 2
    assert set(frame["objective"]) == {42.0}
    assert set(frame["job_status"]) == {JobStatus.CANCELLED.name}


def test_a_search_works_within_a_running_loop(tmp_path):
    async def notebook():
        search = RandomSearch(problem(), random_state=1, log_dir=str(tmp_path))
        frame = search.search(ParslEvaluator(lambda job: job["x"]), 6, max_evals_strict=True)
        await asyncio.sleep(0)  # the notebook's own loop goes on
        return frame

    frame = asyncio.run(notebook())
    assert list(frame["objective"]) == list(frame["p:x"])
    assert len(frame) == 6


class CountingStorage(JobStorage):
    """Counts what is listed or copied."""

    listed = 0

    def load_all_job_ids(self, search_id):
        ids = super().load_all_job_ids(search_id)
        self.listed += len(ids)
        return ids

    def load_job(self, job_id):
        self.listed += 1
        return super().load_job(job_id)


def test_nothing_that_was_gathered_is_looked_at_again(tmp_path):
    storage = CountingStorage()
    evaluator = ParslEvaluator(lambda job: job["x"], storage=storage)
    largest = 0

    class Watch:
        def __getattr__(self, name):
            if not name.startswith("on_"):
                raise AttributeError(name)
            return self.note

        def note(self, *_):
            nonlocal largest
            held = (evaluator.jobs, evaluator.job_id_submitted, evaluator._tasks_running)
            largest = max(largest, *map(len, held))

    evaluator._callbacks.append(Watch())
    search = RandomSearch(problem(), random_state=1, log_dir=str(tmp_path))
    frame = search.search(evaluator, max_evals=200, max_evals_strict=True)
    assert len(frame) == 200
    assert storage.listed == 0
    assert largest <= 2 * evaluator.num_workers


def test_evaluators_that_share_a_search_see_each_others_results():
    storage = JobStorage()
    first = ParslEvaluator(lambda job: job["x"], storage=storage)
    second = ParslEvaluator(lambda job: job["x"], storage=storage, search_id=first._search_id)
    for evaluator in (first, second):
        evaluator._job_class = HPOJob
    first.submit([{"x": 1.0}, {"x": 2.0}])
    assert len(first.gather("ALL")) == 2
    second.submit([{"x": 3.0}])
    own, others = second.gather("ALL")
    assert [job.args["x"] for job in own] == [3.0]
    assert sorted(job.args["x"] for job in others) == [1.0, 2.0]
    assert first.num_jobs_submitted == second.num_jobs_submitted == 3
    first.submit([{"x": 4.0}])
    own, others = first.gather("ALL")
    assert ([job.args["x"] for job in own], [job.args["x"] for job in others]) == ([4.0], [3.0])
    first.close()
    second.close()
