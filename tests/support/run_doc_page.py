"""Runs the blocks of one page in their order, in the current folder: a program of the page tests.

Python blocks share one namespace, as at a prompt; every shell block is a shell of its own. Ends
with the first block that fails, and names its line.
"""

from __future__ import annotations

import linecache
import os
import subprocess
import sys
import traceback
import types
from pathlib import Path

from doc_pages import Block, blocks_of


def run_python(page: Path, block: Block, namespace: dict[str, object]) -> int:
    """Runs a block in the page's namespace; its traceback names the page's lines."""
    name = f"{page}, block at line {block.line}"
    code = block.code
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    try:
        exec(compile(code, name, "exec"), namespace)
        sys.stdout.flush()
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def run_block(page: Path, block: Block, namespace: dict[str, object], output: Path) -> int:
    """Runs a block, with what it prints in a file."""
    kept = os.dup(1), os.dup(2)
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            if block.language == "python":
                return run_python(page, block, namespace)
            return subprocess.run(["bash", "-euo", "pipefail", "-c", block.code]).returncode
        finally:
            for descriptor, copy in enumerate(kept, start=1):
                os.dup2(copy, descriptor)
                os.close(copy)


def main(page: Path) -> int:
    """Runs a page; 1 if a block fails or prints something else than the page says."""
    sys.path.insert(0, str(Path.cwd()))  # modules that the page has written
    # Functions of the page travel to workers by value, as those of a script do.
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    module.__dict__["__file__"] = str(page)
    output = Path("printed.txt")
    for block in blocks_of(page):
        if block.title:
            Path(block.title).write_text(block.code)
        if block.is_output and block.text.rstrip() != output.read_text().rstrip():
            print(f"{page.name}:{block.line}: printed was\n{output.read_text()}")
            return 1
        if not block.runs:
            continue
        code = run_block(page, block, module.__dict__, output)
        print(f"--- {page.name}:{block.line}\n{block.code}\n{output.read_text(errors='replace')}")
        if code != block.exit_code:
            print(f"{page.name}:{block.line} ended with {code}, not {block.exit_code}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
