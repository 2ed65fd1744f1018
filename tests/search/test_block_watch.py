"""An executor that has work and no blocks, and gets none, holds nobody up for ever."""

from types import SimpleNamespace

import parsl
import pytest
from parsl.executors import HighThroughputExecutor
from parsl.jobs.states import JobState, JobStatus
from parsl.providers import LocalProvider

from parsl_tl import ParslEvaluator, block_watch
from parsl_tl.errors import ExecutorsLostError
from parsl_tl.parsl_kernel import parsl_kernel


@pytest.mark.slow
def test_an_executor_whose_strategy_starts_no_blocks_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(block_watch, "_LONGEST_WITHOUT_BLOCKS", 2.0)
    provider = LocalProvider(init_blocks=0, min_blocks=0, max_blocks=1)
    executor = HighThroughputExecutor(label="idle", address="127.0.0.1", provider=provider)
    config = parsl.Config(executors=[executor], strategy="none", run_dir=str(tmp_path))
    with parsl_kernel(config):
        evaluator = ParslEvaluator(lambda job: 0.0, num_workers=1)
        evaluator.submit([{"x": 1.0}])
        with pytest.raises(ExecutorsLostError, match='strategy="simple"'):
            evaluator.gather("ALL")


class Blocks:
    """What a watch asks of an executor; blocks start at once."""

    label, heartbeat_threshold = "blocks", 120

    def __init__(self, *names, max_blocks):
        self.provider = SimpleNamespace(max_blocks=max_blocks)
        self.status_facade = {name: JobStatus(JobState.RUNNING) for name in names}
        self.tasks, self.asked = 1, 0

    def outstanding(self):
        return self.tasks

    def scale_out_facade(self, count):
        self.asked += count


def pool(block, *, draining):
    return {"block_id": block, "draining": draining}


def test_a_block_that_drains_is_followed_by_one_other():
    executor = Blocks("0", max_blocks=1)
    watch = block_watch.BlockWatch(executor)
    watch.look([pool("0", draining=False)])
    assert executor.asked == 0
    watch.look([pool("0", draining=True), pool("0", draining=False)])  # a node of two goes on
    assert executor.asked == 0
    executor.tasks = 0
    watch.look([pool("0", draining=True)])
    assert executor.asked == 0  # for nobody
    executor.tasks = 1
    watch.look([pool("0", draining=True)])
    watch.look([pool("0", draining=True)])
    assert executor.asked == 1


def test_as_many_blocks_work_as_are_allowed():
    executor = Blocks("0", "1", "2", max_blocks=2)
    block_watch.BlockWatch(executor).look([pool(name, draining=name == "0") for name in "012"])
    assert executor.asked == 0  # two go on working
