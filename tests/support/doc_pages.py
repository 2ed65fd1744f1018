"""The fenced blocks of a Markdown page, and what its comments say about running them.

A comment right above a block is for the tests, and invisible to readers:

    <!-- not run: REASON -->          the block is left out
    <!-- run with: TEXT => OTHER -->  it runs with OTHER in place of TEXT, which must be in it
    <!-- exit code: 2 -->             it must end with this exit code
    <!-- prints -->                   the text block is what the block before it prints, exactly

A block with title="NAME" is the content of the file NAME, beside which the later blocks run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = {"bash", "python"}
PARSED = {"json", "toml", "yaml"}
SHOWN = {"text", "cpp"}

_COMMENT = re.compile(r"<!--\s*(not run|run with|exit code|prints)\s*(?::\s*(.*?))?\s*-->")
_FENCE = re.compile(r"(\s*)```(\w*)(.*)")
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass
class Block:
    """One fenced block, and what the comments above it say."""

    line: int
    language: str
    text: str = ""
    title: str | None = None
    reason: str | None = None
    exit_code: int = 0
    is_output: bool = False
    replacements: list[tuple[str, str]] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        return self.language in RUN and self.reason is None and self.title is None

    @property
    def code(self) -> str:
        """The text as it is run."""
        code = self.text
        for old, new in self.replacements:
            assert old in code, f"line {self.line}: {old!r} of a comment is not in the block"
            code = code.replace(old, new)
        return code


def pages() -> list[Path]:
    """Returns the README and every page of the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """Reads the blocks of a page, in their order.

    Raises:
        ValueError: a fence that is indented or never closed, or a comment with no block below it.
    """
    blocks: list[Block] = []
    comments: list[tuple[str, str]] = []
    lines = iter(enumerate(page.read_text().splitlines(), start=1))
    for number, line in lines:
        if found := _COMMENT.fullmatch(line.strip()):
            comments.append((found[1], found[2] or ""))
            continue
        fence = _FENCE.match(line)
        if fence is None:
            if comments:
                raise ValueError(f"{page.name}:{number}: no block follows {comments}")
            continue
        if fence[1]:
            raise ValueError(f"{page.name}:{number}: an indented block would not be run")
        block = Block(number, fence[2])
        title = _TITLE.search(fence[3])
        block.title = title[1] if title else None
        text = []
        for _, inner in lines:
            if inner == "```":
                break
            text.append(inner)
        else:
            raise ValueError(f"{page.name}:{number}: the block is never closed")
        block.text = "\n".join(text) + "\n"
        _apply(block, comments)
        comments = []
        blocks.append(block)
    return blocks


def _apply(block: Block, comments: list[tuple[str, str]]) -> None:
    for kind, value in comments:
        if kind == "not run":
            block.reason = value
        elif kind == "run with":
            old, new = value.split(" => ")
            block.replacements.append((old, new))
        elif kind == "exit code":
            block.exit_code = int(value)
        else:
            block.is_output = True
