"""A page of runs: what is compared, then each run with all of its views."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from parsl_tl.report import charts, run_charts, views
from parsl_tl.report.command import repeat_command, shell_line
from parsl_tl.report.failure_list import failure_list
from parsl_tl.report.incidents import incident_list
from parsl_tl.report.pictures import architectures, best_models, lineage_view
from parsl_tl.report.svg import BASE_RULES, DARK, LIGHT, color_rules, duration
from parsl_tl.reporting.page import page, table
from parsl_tl.reporting.sizes import counted, show_bytes
from parsl_tl.search.settings import CampaignSettings

if TYPE_CHECKING:
    from parsl_tl.report.run import Run
    from parsl_tl.report.view import View

_MOST_ROWS = 100
_HERE: Final = Path(__file__).parent
# Nothing is loaded from anywhere; the live page asks the server that it came from.
_POLICY: Final = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; connect-src 'self'\">"
)
# A table of rows beside a drawing tells less than the drawing's own table where it is longer.
_NO_TABLE: Final = ("objective_by_evaluations", "objective_by_cpu")


def report_page(runs: Sequence[Run], wanted: Sequence[float] | None = None) -> str:
    """Returns the page of finished or running runs, as one HTML text that needs nothing else.

    Args:
        runs: at least one; several are compared.
        wanted: values of the objective, for the time to reach them.
    """
    parts = sections(runs, wanted)
    rows = json.dumps([rows_of(run) for run in runs], separators=(",", ":"))
    # Nothing in it may look like the end of the script.
    rows = rows.replace("<", "\\u003c")
    data = f"<script>const ROWS={rows};</script>"
    return whole_page(runs, parts, data)


def whole_page(runs: Sequence[Run], parts: dict[str, str], data: str, status: str = "") -> str:
    """Returns a page of sections.

    Args:
        runs: whose page it is.
        parts: HTML by the ids of the sections.
        data: script elements that the page's own script reads.
        status: HTML above everything.
    """
    title = ", ".join(run.name for run in runs[:3]) + (" and more" if len(runs) > 3 else "")
    links = "".join(
        f'<a href="#run-{number}">{html.escape(run.name)}</a>' for number, run in enumerate(runs)
    )
    nav = f'<nav aria-label="Runs">{links}</nav>' if len(runs) > 1 else ""
    body = "".join(f'<div id="{key}">{text}</div>' for key, text in parts.items())
    script = f"<script>{(_HERE / 'page.js').read_text('utf-8')}</script>"
    return page(
        f"{title}: search",
        f"<header><h1>{html.escape(title)}</h1>{status}{nav}</header><main>{body}</main>"
        f"{data}{script}",
        style=style(),
        head=_POLICY,
    )


def style() -> str:
    """Returns the rules of the page and of its drawings, light and dark."""
    dark = color_rules(DARK, "var(--ink)", "var(--line)", "var(--card)")
    light = color_rules(LIGHT, "var(--ink)", "var(--line)", "var(--card)")
    own = (_HERE / "page.css").read_text("utf-8")
    return f"{BASE_RULES}{light}@media (prefers-color-scheme: dark){{{dark}}}{own}"


def sections(runs: Sequence[Run], wanted: Sequence[float] | None = None) -> dict[str, str]:
    """Returns the HTML of the page's parts, by id; what did not change is equal text.

    Args:
        runs: at least one.
        wanted: values of the objective, for the time to reach them.
    """
    parts = {}
    if len(runs) > 1:
        parts["overview"] = f"<h2>Runs</h2>{table(overview(runs), 'Runs compared')}"
        parts["settings"] = _differences(runs)
        compared = _cards(charts.compared(runs, wanted), "", "all runs")
        parts["compared"] = f'<div class="grid">{compared}</div>'
    for number, run in enumerate(runs):
        many = f"{html.escape(run.name)}: " if len(runs) > 1 else ""
        heading = f"<h2>{html.escape(run.name)}</h2>" if len(runs) > 1 else ""
        parts[f"run-{number}"] = heading + tiles(run)
        parts[f"running-{number}"] = _running(run)
        shown = run_views(run) if many else [*charts.compared(runs, wanted), *run_views(run)]
        cards = _cards(shown, f"-{number}", run.name)
        parts[f"views-{number}"] = f'<h2>{many}How it went</h2><div class="grid">{cards}</div>'
        failed = failure_list(run)
        parts[f"why-{number}"] = failed and f"<h2>{many}Why evaluations failed</h2>{failed}"
        where = views.sites(run)
        parts[f"sites-{number}"] = (
            f"<h2>{many}Sites</h2>{table(where, f'Sites of {run.name}')}" if len(where) else ""
        )
        incidents = incident_list(run)
        heading = f"<h2>{many}What happened to workers, blocks and the store</h2>"
        parts[f"incidents-{number}"] = incidents and heading + incidents
        best = _best(run)
        parts[f"best-{number}"] = best and f"<h2>{many}Best models</h2>{best}"
        parts[f"rows-{number}"] = (
            f"<h2>{many}Evaluations</h2>"
            f'<div class="rows" data-run="{number}" tabindex="0" role="region" '
            f'aria-label="Evaluations of {html.escape(run.name)}"></div>'
        )
        parts[f"about-{number}"] = f"<h2>{many}To repeat it</h2>{_about(run)}"
    return parts


def run_views(run: Run) -> list[View]:
    """Returns the views of a run alone, its Pareto fronts and its lineage included."""
    return [*(draw(run) for draw in run_charts.ONE_RUN), *run_charts.fronts(run), lineage_view(run)]


def overview(runs: Sequence[Run]) -> pd.DataFrame:
    """Returns a row for each run: how far it is, and how well it does."""
    return pd.DataFrame(
        [{"run": run.name, **{name: value for name, value, _ in facts(run)}} for run in runs]
    )


def facts(run: Run) -> list[tuple[str, str, str]]:
    """Returns what is most asked for: name, value, and a word more."""
    done, failed = len(run.frame), int(run.frame["objective"].isna().sum())
    best = best_models(run, 1)
    share = views.shares(run)["share"]
    stored = views.storage(run)
    busy = views.utilization(run)["share"]
    full = float(stored["full_copies"].iloc[-1]) if len(stored) else 0.0
    written = float(stored["stored"].iloc[-1]) if len(stored) else 0.0
    state = "running" if run.is_active else "finished"
    if not run.is_active and done < run.total:
        # Workers may wait for their nodes, or the search has been stopped: the folder cannot tell.
        state = f"no news for {duration(run.silence)}"
    under_way = f", {len(run.running)} under way" if run.is_active else ""
    left = seconds_left(run)
    return [
        ("evaluations", f"{done:,} of {run.total:,}", state + under_way),
        (
            "best",
            f"{best['objective'].iloc[0]:.4f}" if len(best) else "-",
            f"#{best['job'].iloc[0]}" if len(best) else "",
        ),
        ("failed", f"{failed:,}", f"{failed / done:.1%}" if done else ""),
        ("time", duration(run.now), "" if left is None else f"about {duration(left)} left"),
        (
            "transferred",
            "-" if share.empty else f"{share.mean():.0%}",
            "of a child's layers",
        ),
        (
            "stored",
            show_bytes(written),
            f"{written / full:.0%} of full copies" if full else "",
        ),
        ("busy workers", "-" if busy.empty else f"{busy.mean():.0%}", f"of {_count_lanes(run)}"),
    ]


def seconds_left(run: Run) -> float | None:
    """Estimates the time to the end from the pace of the latest evaluations; None for no pace."""
    ended = np.sort(run.frame["ended"].dropna().to_numpy(np.float64))[-200:]
    if not run.is_active or len(ended) < 3:
        return None
    return float((ended[-1] - ended[0]) / (len(ended) - 1) * (run.total - len(run.frame)))


def tiles(run: Run) -> str:
    """Returns the facts of a run as a row of tiles."""
    return (
        '<dl class="tiles">'
        + "".join(
            f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}"
            f"<small>{html.escape(more)}</small></dd></div>"
            for name, value, more in facts(run)
        )
        + "</dl>"
    )


def rows_of(run: Run, since: int = 0) -> dict[str, Any]:
    """Returns the evaluations as columns of short values, for the page's table.

    Models are told by the number of their evaluation; the ids stand beside.
    """
    frame = run.frame
    jobs = dict(zip(frame["model_id"], frame["job"].tolist(), strict=True))
    later = frame.iloc[since:]

    def numbers(name: str, digits: int) -> list[float | None]:
        if name not in later:
            return [None] * len(later)
        values = later[name].astype(float).round(digits)
        return [None if np.isnan(value) else value for value in values.tolist()]

    return {
        "job": later["job"].tolist(),
        "model": later["model_id"].tolist(),
        "objective": numbers("objective", 5),
        "failure": [one if isinstance(one, str) else None for one in later["failure"]],
        "parent": [jobs.get(one) for one in later["parent"]],
        "donor": [jobs.get(one) for one in later["donor"]],
        "layers": numbers("layers_total", 0),
        "inherited": numbers("layers_transferred", 0),
        "seconds": numbers("seconds_total", 2),
        "ended": numbers("ended", 2),
        "worker": [one if isinstance(one, str) else None for one in later["lane"]],
    }


def _count_lanes(run: Run) -> int:
    return int(run.frame["lane"].nunique())


def _cards(found: Sequence[View], suffix: str, whose: str) -> str:
    if not any(view.svg for view in found):
        return '<p class="card">Nothing has come to its end yet.</p>'
    return "".join(_card(view, suffix, whose) for view in found if view.svg or view.note)


def _card(view: View, suffix: str, whose: str) -> str:
    note = f"<p>{html.escape(view.note)}</p>" if view.note else ""
    listed = ""
    if view.svg and len(view.table) and view.key not in _NO_TABLE:
        # A spread of rows tells more than the first ones.
        places = np.unique(np.linspace(0, len(view.table) - 1, _MOST_ROWS).round().astype(int))
        more = len(view.table) - len(places)
        told = f"<p>{len(places)} of {counted(len(view.table), 'row')}.</p>" if more else ""
        shown = view.table.iloc[places].drop(columns=["alike"], errors="ignore")
        rows = table(shown, f"{view.title} of {whose}")
        listed = f"<details><summary>As a table</summary>{told}{rows}</details>"
    zoom = _zoom(view, suffix) if view.svg else ""
    names = "".join(
        f'<li><svg aria-hidden="true" viewBox="0 0 12 12"><rect class="{css}" width="12" '
        f'height="12" rx="2"/></svg>{html.escape(name)}</li>'
        for css, name in view.legend
    )
    legend = f'<ul class="legend">{names}</ul>' if names else ""
    wide = " wide" if view.key == "lineage" else ""
    title = f"<h3>{html.escape(view.title)}</h3>"
    return (
        f'<section class="card{wide}" id="{view.key}{suffix}">{title}{note}'
        f"<div{zoom}>{view.svg}</div>{legend}{listed}</section>"
    )


def _zoom(view: View, suffix: str) -> str:
    """Returns the attribute by which the page's script lets a drawing be zoomed."""
    if view.key == "workers":
        return f' data-time="{suffix.removeprefix("-")}"'
    return ' data-zoom=""' if view.key == "lineage" else ""


def _running(run: Run) -> str:
    if run.running.empty:
        return ""
    jobs = run.running.copy()
    known = jobs["submitted"].notna()
    jobs["asked for"] = [
        f"{duration(max(0.0, run.now - at))} ago" if ok else ""
        for at, ok in zip(jobs["submitted"], known, strict=True)
    ]
    columns = {"job": "job", "lane": "worker", "step": "step", "asked for": "asked for"}
    shown = jobs.head(_MOST_ROWS)[[*columns, "model_id", "parent"]].rename(columns=columns)
    title = "Under way" if run.is_active else "Not finished"
    told = "" if run.is_active else "<p>If the search has ended, --resume evaluates them.</p>"
    steps = jobs["step"].dropna() if run.is_active else jobs["step"].iloc[:0]
    doing = ", ".join(f"{count} {step}" for step, count in steps.value_counts().items())
    count = f"{title}: {len(jobs)}" + (f" ({html.escape(doing)})" if doing else "")
    rows = table(shown, f"{title} in {run.name}")
    return f'<details class="card"><summary>{count}</summary>{told}{rows}</details>'


def _best(run: Run) -> str:
    listed = best_models(run)
    if listed.empty:
        return ""
    pictures = "".join(
        f'<section class="card"><h3>{html.escape(view.title)}</h3>'
        f"<p>{html.escape(view.note)}</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Picture of '
        f'{html.escape(view.title)} in {html.escape(run.name)}">{view.svg}</div></section>'
        for view in architectures(run)
    )
    return f'{table(listed, f"Best models of {run.name}")}<div class="networks">{pictures}</div>'


def _about(run: Run) -> str:
    settings = pd.DataFrame(
        [
            {"setting": name.replace("_", " "), "value": _setting(value)}
            for name, value in asdict(run.settings).items()
        ]
    )
    machine = dict(run.machine)
    versions = {**machine.pop("packages", {}), "python": machine.pop("python", None)}
    rows = [{"what": name, "version": value} for name, value in versions.items() if value]
    about = "".join(f"<li>{html.escape(f'{k}: {v}')}</li>" for k, v in machine.items())
    known = "<p>This run was made by a release that noted no versions.</p>"
    if rows:
        listed = table(pd.DataFrame(rows), f"Versions of {run.name}")
        known = f"{listed}<p>The search was driven on:</p><ul>{about}</ul>"
    line = shell_line(repeat_command(run.settings, f"{run.folder}-again"))
    return (
        '<div class="grid"><details class="card"><summary>Settings</summary>'
        f"{table(settings, f'Settings of {run.name}')}</details>"
        f'<details class="card"><summary>Versions</summary>{known}</details>'
        '<details class="card"><summary>The command that repeats this run</summary>'
        f'<pre tabindex="0">{html.escape(line)}</pre></details></div>'
    )


def _setting(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _differences(runs: Sequence[Run]) -> str:
    """Returns the settings in which runs differ."""
    rows = []
    for field in fields(CampaignSettings):
        values = [_setting(getattr(run.settings, field.name)) for run in runs]
        if len(set(values)) > 1 and field.name not in ("uid", "store_ids", "import_folders"):
            named = dict(zip((run.name for run in runs), values, strict=True))
            rows.append({"setting": field.name.replace("_", " "), **named})
    if not rows:
        return "<p>The runs have the same settings.</p>"
    title = "Settings in which they differ"
    return f"<h2>{title}</h2>{table(pd.DataFrame(rows), title)}"
