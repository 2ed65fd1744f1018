"""How programs end: errors in one line, and the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from parsl_tl.errors import InfrastructureError, ParslTLError

SUCCESS = 0
FAILED = 1
ERROR = 2
INFRASTRUCTURE = 3
TIME_OVER = 4
INTERRUPTED = 130


def run_program(main: Callable[[], int | None], name: str | None = None) -> int:
    """Runs a program's main function.

    Args:
        main: gives the exit code, None for 0; what parsl_tl raises on purpose is reported in
            one line on standard error, and infrastructure that failed with what it has to say.
        name: of the program, as errors begin; the script's when None.

    Returns:
        The exit code: that of ``main``, 2 for an error, 3 for infrastructure that failed, 130 for
        an interrupt.
    """
    try:
        code = main()
        sys.stdout.flush()
    except InfrastructureError as error:
        print(f"{name or Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return INFRASTRUCTURE
    except ParslTLError as error:
        text = " ".join(str(error).split())
        print(f"{name or Path(sys.argv[0]).name}: error: {text}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) left; what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCESS
    except OSError as error:  # a folder that cannot be written, a disk that is full
        print(f"{name or Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return ERROR
    return code or SUCCESS
