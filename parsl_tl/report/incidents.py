"""What went wrong beside the evaluations: workers, blocks, the store.

A worker or a block that is lost fails no evaluation: it is asked again.
"""

from __future__ import annotations

import html
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from parsl_tl.reporting.sizes import counted

if TYPE_CHECKING:
    import pandas as pd

    from parsl_tl.report.run import Run

_NUMBERS: Final = re.compile(r"\b[0-9a-f]{12,}\b|\d+(?:\.\d+)?")
_MOST_LETTERS: Final = 90
_MOST_MESSAGES: Final = 5
_MOST_SHOWN: Final = 3
_MOST_LINES: Final = 30


class Incident(NamedTuple):
    """A warning or an error of a search, or a loss.

    Attributes:
        when: local time.
        what: the kind of it, for people.
        message: all of it, several lines where it has them.
    """

    when: str
    what: str
    message: str


def read_incidents(run: Run) -> list[Incident]:
    """Returns what a search noted that is of no evaluation, in order."""
    found = []
    for note in run.notes:
        when = f"{datetime.fromtimestamp(note['time_ns'] / 1e9):%Y-%m-%d %H:%M:%S}"
        if note["event"] == "lost":
            where, why = f"executor {note['site']}", f"{note['error']}: {note['text']}"
            text = f"evaluation {note['job']} was lost on {where} and is asked again: {why}"
            found.append(Incident(when, f"{note['error']} on {where}", text))
        elif note["event"] == "warning":
            found.append(Incident(when, _kind(note["text"]), note["text"]))
    return found


def incident_table(run: Run) -> pd.DataFrame:
    """Returns a row for each kind of incident, the latest kind first.

    Columns: ``what``, ``times``, ``latest`` (local time), ``message`` (the
    first line of the latest).
    """
    import pandas as pd

    rows = [
        (what, len(found), found[0].when, found[0].message.partition("\n")[0])
        for what, found in _by_kind(run).items()
    ]
    return pd.DataFrame(rows, columns=["what", "times", "latest", "message"])


def incident_list(run: Run) -> str:
    """Returns the incidents of a run as HTML, by kind, those that happened last on top."""
    return "".join(_of_kind(what, found) for what, found in _by_kind(run).items())


def _by_kind(run: Run) -> dict[str, list[Incident]]:
    kinds: dict[str, list[Incident]] = {}
    for one in reversed(read_incidents(run)):
        kinds.setdefault(one.what, []).append(one)
    return kinds


def _kind(message: str) -> str:
    first = _NUMBERS.sub("…", message.partition(":")[0].partition("\n")[0])
    return first if len(first) <= _MOST_LETTERS else f"{first[: _MOST_LETTERS - 1]}…"


def _of_kind(what: str, found: list[Incident]) -> str:
    alike: dict[str, list[Incident]] = {}
    for one in found:
        alike.setdefault(_NUMBERS.sub("…", one.message), []).append(one)
    groups = sorted(alike.values(), key=len, reverse=True)
    more = len(groups) - _MOST_MESSAGES
    left_out = f"<p>And {more} other messages.</p>" if more > 0 else ""
    times = "once" if len(found) == 1 else f"{len(found):,} times"
    return (
        f'<details class="card"><summary><strong>{html.escape(what)}</strong>: {times}, at last '
        f"{found[0].when}</summary>"
        + "".join(map(_message, groups[:_MOST_MESSAGES]))
        + f"{left_out}</details>"
    )


def _message(alike: list[Incident]) -> str:
    first, *rest = alike[0].message.splitlines()
    shown = "".join(
        f"<details><summary>{one.when}</summary>"
        f'<pre tabindex="0">{html.escape(_shortened(one.message))}</pre></details>'
        for one in alike[:_MOST_SHOWN]
    )
    times = "once" if len(alike) == 1 else f"{len(alike):,} times"
    dots = " …" if rest else ""
    return f'<p class="problem">{times}: {html.escape(first)}{dots}</p>{shown}'


def _shortened(message: str) -> str:
    lines = message.splitlines()
    more = len(lines) - _MOST_LINES
    told = [f"... and {counted(more, 'line')} more"] if more > 0 else []
    return "\n".join([*lines[:_MOST_LINES], *told])
