"""Loads a problem's data once, in a process of its own, to tell what is wrong with it.

Data may be large, and may come with a framework: neither stays in the process that asks.
``python -m parsl_tl.problems.check`` reads what to load from standard input; the last line of its
standard error tells what was wrong.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from parsl_tl.errors import ParslTLError, ProblemError
from parsl_tl.imports import add_import_folders
from parsl_tl.problems.registry import get_problem

_REFUSED: Final = 3


def check_data(name: str, kwargs: Mapping[str, Any], folders: Sequence[str] = ()) -> None:
    """Loads the data of a problem in another process.

    Args:
        name: of the problem.
        kwargs: its arguments.
        folders: where modules are that are not installed.

    Raises:
        ProblemError: the data cannot be loaded, or does not fit what the problem says of itself.
    """
    asked = json.dumps({"name": name, "kwargs": dict(kwargs), "folders": list(folders)})
    done = subprocess.run(
        [sys.executable, "-m", "parsl_tl.problems.check"],
        input=asked,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return
    said = done.stderr.strip().splitlines()
    last = said[-1] if said else ""
    if done.returncode == _REFUSED:
        raise ProblemError(json.loads(last))
    how = (
        f"was ended by {signal.Signals(-done.returncode).name}"
        if done.returncode < 0
        else f"ended with exit code {done.returncode}"
    )
    raise ProblemError(
        f"the process that loaded the data of problem {name!r} {how}; its last words: {last!r}"
    )


def _main() -> int:
    asked = json.load(sys.stdin)
    add_import_folders(asked["folders"])
    try:
        get_problem(asked["name"], **asked["kwargs"]).load()
    except (ParslTLError, MemoryError) as error:
        text = str(error) or "the data of the problem does not fit into memory"
        print(json.dumps(text), file=sys.stderr, flush=True)
        return _REFUSED
    return 0


if __name__ == "__main__":
    code = _main()
    sys.stderr.flush()
    os._exit(code)  # what the problem has loaded need not be taken down, or speak once more
