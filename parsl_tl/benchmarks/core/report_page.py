"""One page with the tables and plots of many benchmarks: a single HTML file, plots inside."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parsl_tl.benchmarks.core.every_benchmark import BenchmarkRun
from parsl_tl.reporting.files import replace_file
from parsl_tl.reporting.machine import machine_facts

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff;
       max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 3rem; border-bottom: 1px solid #d0d7de; }
p.facts, p.command { color: #57606a; font-size: 14px; }
nav a { margin-right: 1rem; }
pre { font: 12px/1.25 ui-monospace, "DejaVu Sans Mono", monospace; overflow-x: auto;
      background: #f6f8fa; padding: 1rem; border-radius: 6px; }
code { font: 13px ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; margin: 1rem 0; }
.problem { background: #ffebe9; padding: .5rem 1rem; border-radius: 6px; }
"""


def write_page(runs: Sequence[BenchmarkRun], path: Path) -> Path:
    """Writes the page of what ``run_benchmarks`` gave; it appears by rename."""
    links = "".join(
        f'<a href="#{run.suite.name}">{html.escape(run.suite.title)}</a>' for run in runs
    )
    sections = "".join(_section(run) for run in runs)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>parsl_tl on this machine</title><style>{_STYLE}</style></head><body>"
        f"<h1>parsl_tl on this machine</h1>{_facts()}<nav>{links}</nav>{sections}</body></html>\n"
    )
    return replace_file(path, lambda partial: partial.write_text(page, encoding="utf-8"))


def _facts() -> str:
    facts: dict[str, Any] = machine_facts()
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    text = (
        f"{time.strftime('%Y-%m-%d %H:%M')} · {facts['cpu']}, {facts['cores']} cores, "
        f"{facts['memory_bytes'] / 1e9:.0f} GB · {facts['kernel']}, Python {facts['python']} · "
        f"{packages}"
    )
    return f'<p class="facts">{html.escape(text)}</p>'


def _section(run: BenchmarkRun) -> str:
    suite = run.suite
    parts = [
        f'<h2 id="{suite.name}">{html.escape(suite.title)}</h2>',
        f"<p>Measures {html.escape(suite.text)}.</p>",
        f'<p class="command">{run.seconds:.0f} s · <code>{html.escape(run.command)}</code></p>',
    ]
    if run.problem:
        parts.append(f'<p class="problem">Not finished: {html.escape(run.problem)}</p>')
    if run.output.strip():
        parts.append(f"<pre>{html.escape(run.output)}</pre>")
    for plot in sorted(run.folder.glob("*.png")):
        data = base64.b64encode(plot.read_bytes()).decode()
        name = html.escape(plot.stem.replace("_", " "))
        parts.append(f'<img alt="{name}" src="data:image/png;base64,{data}">')
    return "".join(parts)
