"""Every block of the README and of the pages runs, from the page itself, so that none can rot."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from doc_pages import PARSED, ROOT, RUN, SHOWN, blocks_of, pages

SUPPORT = ROOT / "tests" / "support"
RUNNING = [page for page in pages() if any(block.runs for block in blocks_of(page))]
IDS = {page: str(page.relative_to(ROOT)) for page in pages()}


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=IDS.get)
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "apps").symlink_to(ROOT / "apps")
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(SUPPORT),
        "HOME": str(tmp_path),  # what a page keeps there is none of the user's
        "COLUMNS": "100",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    cores = sorted(os.sched_getaffinity(0))
    core = cores[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % len(cores)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, SUPPORT / "run_doc_page.py", page],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # As on a machine of one core, where a search has one worker that loads TensorFlow.
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            code = process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # servers of a page that failed
    assert code == 0, log.read_text(errors="replace")[-8000:]


@pytest.mark.parametrize("page", pages(), ids=IDS.get)
def test_blocks_are_of_known_kinds(page: Path) -> None:
    for block in blocks_of(page):
        place = f"{page.name}:{block.line}"
        assert block.language in RUN | PARSED | SHOWN, f"{place}: language {block.language!r}"
        assert block.reason is None or len(block.reason) > 10, f"{place}: say why it is not run"
        assert block.code, place
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)


def test_most_blocks_run(record_property: pytest.RecordProperty) -> None:
    blocks = [(page, block) for page in pages() for block in blocks_of(page)]
    left_out = [
        f"{IDS[page]}:{block.line}: {block.reason}" for page, block in blocks if block.reason
    ]
    count = sum(block.runs or block.title is not None for _, block in blocks)
    print(f"{count} blocks run, {len(left_out)} do not:", *left_out, sep="\n")
    record_property("blocks not run", len(left_out))
    assert len(left_out) < count / 3


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=IDS.get)
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Those of the other pages are checked by the site's own build."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    images = re.findall(r'src="([^"]+)"', page.read_text())
    for link in [*links, *images]:
        if not link.startswith("http"):
            assert (ROOT / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", pages(), ids=IDS.get)
def test_source_files_that_are_named_exist(page: Path) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    files = [f"/{name}" for name in tracked.stdout.splitlines()]
    assert files
    for name in re.findall(r"`([\w/.-]+\.(?:py|hpp|cpp))`", page.read_text()):
        written = any(block.title == name for block in blocks_of(page))
        assert written or any(file.endswith(f"/{name}") for file in files), f"{page.name}: {name}"


def test_the_readme_is_a_door_and_not_the_house() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130
