"""The pages as a site: links, anchors, navigation, and the API's docstrings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import ROOT


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    site = tmp_path / "site"
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / name).exists(), f"{name} was not built"
        assert str(page.relative_to(ROOT / "docs")) in (ROOT / "mkdocs.yml").read_text()
    api = (site / "reference" / "index.html").read_text()
    assert "Returns the longest common prefix" in api or "longest_common_prefix" in api
