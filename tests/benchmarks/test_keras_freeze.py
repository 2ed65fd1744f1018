"""``apps/keras_freeze.py``: what the tutorial says holds."""

import pandas as pd
import pytest
from app_runs import refusal, run_app

from parsl_tl.benchmarks.suites.freezing import (
    INPUT_END,
    LAST_LESSON,
    OUTPUT_END,
    StepRow,
    check_steps,
    lessons,
)


def test_wrong_input_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def told(*options):
        return refusal("keras_freeze.py", *options, monkeypatch=monkeypatch, capsys=capsys)

    assert "layers=1 must be at least 2" in told("--layers", "1")
    assert "units=0" in told("--units", "0")
    assert "repeats=0" in told("--repeats", "0")
    assert "workers=0" in told("--workers", "0")


@pytest.mark.slow
def test_the_tutorial(tmp_path):
    options = ("--layers", "4", "--units", "8", "--batch", "4", "--repeats", "2", "--out", "o")
    ended = run_app("keras_freeze.py", *options, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "A frozen BatchNormalization runs in inference mode" in ended.stdout
    assert "  NO" not in ended.stdout
    checks = pd.read_parquet(tmp_path / "o" / "freeze_checks.parquet")
    assert checks.holds.all()
    assert [*checks.lesson.unique()] == [*lessons(), LAST_LESSON]
    assert checks.lesson.value_counts().min() >= 2
    steps = pd.read_csv(tmp_path / "o" / "freeze_steps.csv")
    assert (steps.step_sec > 0).all()
    assert (tmp_path / "o" / "freeze_steps.png").stat().st_size > 10_000
    rows = [StepRow(**row) for row in steps.to_dict("records")]
    assert all(check.holds for check in check_steps(rows))
    # 5 products forward; backward one for each kernel that trains, and for each layer passed.
    assert [(r.frozen_end, r.frozen_layers, r.matrix_products) for r in rows] == [
        *((INPUT_END, 0, 14), (INPUT_END, 1, 12), (INPUT_END, 2, 10), (INPUT_END, 3, 8)),
        (INPUT_END, 4, 6),
        *((OUTPUT_END, 0, 14), (OUTPUT_END, 1, 13), (OUTPUT_END, 2, 12), (OUTPUT_END, 3, 11)),
        (OUTPUT_END, 4, 6),
    ]
    trained = [row.trainable_parameters for row in rows[:5]]
    assert trained == [4 * 72 + 9, 3 * 72 + 9, 2 * 72 + 9, 72 + 9, 9]
    one = rows[0]._replace(matrix_products=15)
    assert not check_steps([one, *rows[1:]])[0].holds
