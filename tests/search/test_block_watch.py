"""An executor that has work and no blocks, and gets none, holds nobody up for ever."""

import parsl
import pytest
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from parsl_tl import ParslEvaluator, block_watch
from parsl_tl.errors import ExecutorsLostError
from parsl_tl.parsl_kernel import parsl_kernel


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
