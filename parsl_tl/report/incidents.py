"""What went wrong beside the evaluations, as the search's log has it: workers, blocks, the store.

A worker or a block that is lost fails no evaluation: it is asked again. The log alone tells of it.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from parsl_tl.report.run import Run

# The end of a long log is read: what it says still holds.
_MOST_BYTES: Final = 4_000_000
_LINE: Final = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ ([A-Z]+) [\w.]+: (.*)")
_LOST: Final = re.compile(r"evaluation \S+ was lost on executor (\S+) and is asked again: (\w+): ")
# These are listed as failures, with more of them than the log has.
_OF_EVALUATIONS: Final = re.compile(r"evaluation \S+ (failed|returned no objective)")
_NUMBERS: Final = re.compile(r"\b[0-9a-f]{12,}\b|\d+(?:\.\d+)?")
_MOST_LETTERS: Final = 90
_MOST_MESSAGES: Final = 5
_MOST_SHOWN: Final = 3
_MOST_LINES: Final = 30


class Incident(NamedTuple):
    """A warning or an error in a search's log.

    Attributes:
        when: local time of the search's machine.
        level: ``WARNING`` or ``ERROR``.
        what: the kind of it, for people.
        message: all of it, several lines where it has them.
    """

    when: str
    level: str
    what: str
    message: str


def read_incidents(run: Run) -> list[Incident]:
    """Returns the warnings and errors of a search's log that are of no evaluation, in order."""
    found: list[Incident] = []
    is_open = False
    for line in _last_lines(run.folder / "campaign.log"):
        begins = _LINE.match(line)
        if begins is None:
            if is_open:  # a message of several lines
                last = found[-1]
                found[-1] = last._replace(message=f"{last.message}\n{line}")
            continue
        when, level, message = begins.groups()
        is_open = level in ("WARNING", "ERROR", "CRITICAL") and not _OF_EVALUATIONS.match(message)
        if is_open:
            found.append(Incident(when, level, _kind(message), message))
    return found


def incident_table(run: Run) -> pd.DataFrame:
    """Returns a row for each kind of incident, the latest kind first.

    Columns: ``what``, ``times``, ``latest`` (local time of the search's machine), ``message`` (the
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


def _last_lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - _MOST_BYTES)
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return lines[1:] if start else lines  # the first one may have lost its begin


def _kind(message: str) -> str:
    lost = _LOST.match(message)
    if lost:
        return f"{lost[2]} on executor {lost[1]}"
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
    return "\n".join([*lines[:_MOST_LINES], *([f"... and {more} lines more"] if more > 0 else [])])
