"""The sources themselves: their sizes, and the versions of what checks them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_LINES = 400


def test_no_file_is_long():
    folders = ("apps", "configs", "cpp-store", "parsl_tl", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    sources = [path for path in paths if path.suffix in {".py", ".pyi", ".cpp", ".hpp", ".cmake"}]
    assert len(sources) > 700
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources}
    assert {name for name, count in lines.items() if count > MOST_LINES} == set()


def test_hooks_check_with_the_versions_of_make_lint():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    revisions = dict(re.findall(r"([^/\s]+)\n +rev: v(\S+)", hooks))
    assert revisions == {
        "ruff-pre-commit": pinned["ruff"],
        "mirrors-clang-format": pinned["clang-format"],
    }
