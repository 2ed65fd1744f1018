"""Parsl's interchange, which ends when the process that started it has ended.

``python -m parsl_tl.interchange PID``, with PID that of the driver, stands in for Parsl's
``interchange.py``. That one outlives a driver that is killed, and its workers with it. It also
shares the driver's process group, so that a signal to all of them ends it before the driver can
end its workers through it.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
import threading
import time

from parsl_tl.lazy_imports import import_parsl
from parsl_tl.rare_collection import collect_rarely

_SECONDS_BETWEEN_LOOKS = 1.0


def launch_command() -> list[str]:
    """Returns the command that starts an interchange bound to this process."""
    command = [sys.executable, "-m", "parsl_tl.interchange", str(os.getpid())]
    # Out of the process group before Python has started, which takes a moment.
    setsid = shutil.which("setsid")
    return command if setsid is None else [setsid, *command]


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def main() -> None:
    """Runs the interchange until it is ended, or its driver is gone."""
    if os.getpgrp() != os.getpid():
        os.setsid()
    driver = int(sys.argv[1])
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    collect_rarely()
    import_parsl()
    sys.argv = ["interchange.py"]
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")


if __name__ == "__main__":
    main()
