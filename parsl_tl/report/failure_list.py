"""Failures as a list that opens: reason, message, evaluation, and what was noted of it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from parsl_tl.report import views
from parsl_tl.report.svg import duration

if TYPE_CHECKING:
    import pandas as pd

    from parsl_tl.report.run import Run

_MOST_MESSAGES = 8
_MOST_JOBS = 3


def failure_list(run: Run) -> str:
    """Returns the failures of a run as HTML, by reason, then by message."""
    failed = views.failures(run)
    if failed.empty:
        return ""
    groups = [
        (str(reason), [one for _, one in _by_message(of_reason)])
        for reason, of_reason in failed.groupby("reason", sort=False)
    ]
    # The latest ones: what they say still holds.
    jobs = [
        int(job)
        for _, alike in groups
        for one in alike[:_MOST_MESSAGES]
        for job in one["job"].tail(_MOST_JOBS)
    ]
    logs = views.told_of(run, jobs)
    return "".join(_reason(reason, alike, logs) for reason, alike in groups)


def _by_message(failed: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Groups failures by message, those of the most frequent one first."""
    found = [(str(text), one) for text, one in failed.groupby("alike", sort=False)]
    return sorted(found, key=lambda pair: -len(pair[1]))


def _reason(reason: str, alike: list[pd.DataFrame], logs: dict[int, str]) -> str:
    count = sum(map(len, alike))
    more = len(alike) - _MOST_MESSAGES
    left_out = f"<p>And {more} other messages.</p>" if more > 0 else ""
    return (
        f'<details class="card"><summary><strong>{html.escape(reason)}</strong>: {count:,} '
        f"{'evaluation' if count == 1 else 'evaluations'}</summary>"
        + "".join(_message(one, logs) for one in alike[:_MOST_MESSAGES])
        + f"{left_out}</details>"
    )


def _message(alike: pd.DataFrame, logs: dict[int, str]) -> str:
    latest = alike.tail(_MOST_JOBS).iloc[::-1]
    text = str(latest["message"].iloc[0]) or "It told no reason."
    workers = alike["worker"].dropna().unique()
    where = f", all on {workers[0]}" if len(workers) == 1 and len(alike) > 1 else ""
    times = "once" if len(alike) == 1 else f"{len(alike):,} times{where}"
    return f'<p class="problem">{html.escape(f"{times}: {text}")}</p>' + "".join(
        f"<details><summary>evaluation #{row['job']} on {html.escape(str(row['worker'] or '?'))}, "
        f"after {duration(row['seconds'])}</summary>"
        f'<pre tabindex="0">{html.escape(logs[int(row["job"])])}</pre></details>'
        for row in latest.to_dict("records")
    )
