"""Pages that need nothing beside their one file: the frame, its colours, tables and pictures."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #fff; --card: #fff;
  --ground: #f4f6f8; --line: #d5dbe1; --mark: #0b6e99; --bad: #b3261e; --bad-ground: #fdeceb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #a3adb8; --paper: #14181c;
  --card: #1b2026; --ground: #14181c; --line: #363e47; --mark: #6cc0e5; --bad: #ff9a92;
  --bad-ground: #3a1d1c; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  margin: 0 auto; max-width: 84rem; padding: 0 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1.5rem 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .25rem; }
a { color: var(--mark); }
p.facts, p.command { color: var(--soft); font-size: .875rem; }
nav a { margin-right: 1rem; }
table { border-collapse: collapse; font-size: .875rem; }
div.table { overflow-x: auto; margin: .75rem 0; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; }
th.text, td.text { text-align: left; }
td.long { min-width: 20rem; }
pre { font: .75rem/1.4 ui-monospace, "DejaVu Sans Mono", monospace; overflow-x: auto;
  background: var(--card); border: 1px solid var(--line); padding: .75rem; border-radius: 6px; }
code { font: .8125rem ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; margin: 1rem 0; background: #fff; }
.problem { background: var(--bad-ground); color: var(--bad); padding: .5rem 1rem;
  border-radius: 6px; }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
"""

_LONG = 40  # letters, from which on a text is given room of its own


def page(title: str, body: str, *, style: str = "", head: str = "") -> str:
    """Returns a whole page, light or dark as its reader has it.

    Args:
        title: of the window, and of whatever keeps it.
        body: HTML of the content, its ``h1`` included.
        style: rules besides the frame's own.
        head: further elements of the head.
    """
    # Browsers ask the server for an icon unless the page names one.
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title>{head}<style>{STYLE}{style}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def table(frame: pd.DataFrame, label: str = "") -> str:
    """Returns a table as HTML: texts to the left, numbers to the right, nothing for NaN.

    Args:
        frame: without its index.
        label: what it shows, for who cannot see the page.
    """
    texts = {
        name for name in frame if any(isinstance(value, str) for value in frame[name].head(50))
    }
    long = {name for name in texts if frame[name].astype(str).str.len().max() > _LONG}
    css = {
        name: f' class="text{" long" * (name in long)}"' if name in texts else "" for name in frame
    }
    head = "".join(
        f'<th scope="col"{css[name]}>{html.escape(str(name).replace("_", " "))}</th>'
        for name in frame
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{css[name]}>{html.escape(shown(value))}</td>"
            for name, value in zip(frame, row, strict=True)
        )
        + "</tr>"
        for row in frame.to_numpy(object)
    )
    named = f' aria-label="{html.escape(label)}"' if label else ""
    return (
        f'<div class="table" tabindex="0" role="region"{named}><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def shown(value: Any) -> str:
    """Returns a value as a table shows it."""
    import pandas as pd

    if isinstance(value, list | tuple | dict):
        return str(value)
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 1e4 else str(value)


def picture(file: Path, label: str) -> str:
    """Returns an image element that has the PNG file inside of itself."""
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<img alt="{html.escape(label)}" src="data:image/png;base64,{data}">'
