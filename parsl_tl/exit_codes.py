"""How programs end: errors in one line, and the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from parsl_tl.errors import ParslTLError


def run_program(main: Callable[[], int | None], name: str | None = None) -> int:
    """Runs a program's main function.

    Args:
        main: gives the exit code, None for 0; what parsl_tl raises on purpose is told in one line
            on standard error.
        name: of the program, as errors begin; the script's when None.

    Returns:
        The exit code: that of ``main``, 2 for an error, 130 for an interrupt.
    """
    try:
        code = main()
        sys.stdout.flush()
    except ParslTLError as error:
        text = " ".join(str(error).split())
        print(f"{name or Path(sys.argv[0]).name}: error: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) left; what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a folder that cannot be written, a disk that is full
        print(f"{name or Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return 2
    return code or 0
