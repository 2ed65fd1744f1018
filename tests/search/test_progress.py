"""What a search shows while it runs: how the best grew, and why evaluations failed."""

import io

from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from parsl_tl.search.progress import SearchProgress, sparkline

FAILED = {"error": "ValueError: column 'age'\n has no values", "worker": "node7:42"}


def shown(is_terminal, act):
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=is_terminal)
    with SearchProgress(10, console) as progress:
        act(progress)
    return progress, out.getvalue()


def test_the_first_failure_of_a_reason_is_told_and_all_are_counted():
    def act(progress):
        progress.finished("F_Value", FAILED, earlier=True)
        assert progress.summary().count("(Value 1)") == 1
        for _ in range(3):
            progress.finished("F_NaNLoss", {"error": "the loss is nan"})
        progress.finished("F_Value", FAILED)
        progress.finished("F_Other", FAILED)

    progress, text = shown(False, act)
    assert text.count("An evaluation failed") == 2
    assert "An evaluation failed: NaNLoss: the loss is nan\n" in text
    assert "failed on node7:42: Other: ValueError: column 'age' has no values\n" in text
    assert "6 failed (NaNLoss 3, Value 2, Other 1)" in text
    progress.finished("F_More", FAILED)
    assert "(NaNLoss 3, Value 2, Other 1, ...)" in progress.summary()


def test_nothing_is_said_where_nobody_looks(capsys):
    progress = SearchProgress(10)
    progress.finished("F_Value", FAILED)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_how_the_best_grew():
    def act(progress):
        for value in (0.2, 0.1, 0.7, 1.0):
            progress.finished(value, {}, describe=f"{value} relu".format)

    progress, text = shown(True, act)
    assert "▁▁▅█" in text  # 0.2, 0.2, 0.7, 1.0
    assert "best: 1.0 relu" in text
    progress.finished(1.0, {}, describe="no better".format)
    assert progress.network == "1.0 relu"


@given(st.lists(st.floats(-1e6, 1e6), max_size=200), st.integers(1, 40))
@example([0.0, 2.2e-313], 2)
def test_a_line_of_bars_never_falls(values, width):
    best = [max(values[: end + 1]) for end in range(len(values))]
    line = sparkline(best, width)
    assert list(line) == sorted(line)
    assert len(line) == (min(width, len(values)) if len(values) > 1 else 0)
    if line and best[-1] > best[max(0, len(best) // min(width, len(best)) - 1)]:
        assert line[-1] == "█"


def test_a_span_beyond_all_numbers_is_a_flat_line():
    assert sparkline([-1e308, 1e308]) == "▁▁"
