"""What the exit code of a search says."""

import pandas as pd
import pytest
from fault_runs import FaultRun

from parsl_tl.cli.search import _is_success


@pytest.mark.parametrize(
    ("failed", "share", "success"),
    [
        (0, 0.0, True),
        (1, 0.0, False),
        (2, 0.5, True),
        (3, 0.5, False),
        (3, 0.9, True),
        (4, 1, False),
    ],
)
def test_a_search_succeeds_if_few_enough_evaluations_failed(failed, share, success):
    frame = pd.DataFrame({"objective": [float("nan")] * failed + [0.5] * (4 - failed)})
    assert _is_success(frame, share) is success


@pytest.mark.slow
def test_a_search_whose_time_was_over_has_evaluations_left(tmp_path):
    run = FaultRun.campaign(tmp_path, 100_000, "--max-seconds", 5)
    try:
        assert run.wait() == 4, run.text()
        assert "--resume" in run.text()
    finally:
        run.kill_all()
