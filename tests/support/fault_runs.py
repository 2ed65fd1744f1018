"""Programs whose processes are found and killed, wherever they have got to."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

SUPPORT = Path(__file__).parent
_MARK = "PARSL_TL_FAULT_RUN"


def wait_for(condition: Callable[[], object], what: str, seconds: float = 600) -> None:
    """Waits, generously: how long things take says how busy the machine is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class FaultRun:
    """A program in a session of its own. All that it starts carries a mark in its environment."""

    def __init__(self, folder: Path, *command: object, fault: str = "") -> None:
        self.folder = folder
        self._known: set[psutil.Process] = set()
        self.mark = secrets.token_hex(8)
        self.output = folder / f"output-{self.mark}"
        with open(self.output, "w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, command)],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    _MARK: self.mark,
                    "FAULT": fault,
                    "FOLDER": str(folder),
                },
                # What starts tests in the background may have it ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    @classmethod
    def sleeping(cls, folder: Path, max_evals: int, fault: str = "") -> FaultRun:
        (folder / "evaluated").touch()
        return cls(folder, SUPPORT / "sleeping_search.py", folder, max_evals, fault=fault)

    @classmethod
    def campaign(cls, folder: Path, max_evals: int, *options: object, fault: str = "") -> FaultRun:
        """A search by the program, in the folder's ``run``; carried on if it is there.

        Evaluations sleep, and need no framework.
        """
        return cls._search(SUPPORT / "sleeping_campaign.py", folder, max_evals, options, fault)

    @classmethod
    def real_campaign(
        cls, folder: Path, max_evals: int, *options: object, fault: str = ""
    ) -> FaultRun:
        """As ``campaign``, with real evaluations."""
        return cls._search("-mparsl_tl.cli", folder, max_evals, options, fault)

    @classmethod
    def _search(
        cls, program: object, folder: Path, max_evals: int, options: Sequence[object], fault: str
    ) -> FaultRun:
        out = folder / "run"
        what = ["--problem", "digits", "--space", "dense-skip", "--space-arg", "num_layers=2"]
        sizes = ["--population-size", "4", "--sample-size", "2", "--epochs", "1"]
        start = ["--resume"] if (out / "config.json").exists() else [*what, *sizes]
        config = ["--config", SUPPORT / "fault_config.py", "--workers", "2"]
        command = [program, "search", *start, "--out", out, *config]
        return cls(folder, *command, "--max-evals", max_evals, *options, fault=fault)

    def alive(self) -> list[psutil.Process]:
        """All processes of the run that have not ended."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                # The interchange changes its title, and its environment is lost with that.
                is_child = process.ppid() == self.process.pid
                if is_child or process.environ().get(_MARK) == self.mark:
                    self._known.add(process)
        return [process for process in self._known if _is_alive(process)]

    def find(self, *words: str) -> list[psutil.Process]:
        """Processes of the run whose command line has all these words."""
        found = []
        for process in self.alive():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if all(word in line for word in words):
                    found.append(process)
        return found

    def managers(self, label: str = "workers") -> list[psutil.Process]:
        return [
            process
            for process in self.find("parsl-tl-worker-pool", f"/{label} ")
            if process.name() not in ("bash", "timeout")
        ]

    def workers(self) -> list[psutil.Process]:
        """Those that have evaluated something."""
        pids = {int(line.split()[2]) for line in self.evaluated()}
        return [process for process in self.alive() if process.pid in pids]

    def roles(self) -> dict[str, psutil.Process]:
        """One process for each part that a search with one executor has, but the driver.

        An idle worker is one that has not evaluated anything lately.
        """
        (manager,), (interchange,) = self.managers(), self.interchanges()
        shell = manager.parent()
        tracker, template = sorted(manager.children(), key=psutil.Process.create_time)
        assert "resource_tracker" in " ".join(tracker.cmdline())
        helper, *workers = sorted(template.children(), key=psutil.Process.create_time)
        busy = {int(line.split()[2]) for line in self.evaluated()[-2:]}
        idle = [worker for worker in workers if worker.pid not in busy]
        return {
            "interchange": interchange,
            "submission": shell.parent(),  # whose process id is the block's job
            "shell": shell,
            "manager": manager,
            "tracker": tracker,
            "template": template,  # which the others are forked from
            "helper": helper,  # has what manager and workers share
            "worker": next(worker for worker in workers if worker.pid in busy),
            **({"idle worker": idle[0]} if idle else {}),
        }

    def interchanges(self) -> list[psutil.Process]:
        return self.find("interchange")  # which changes its title

    def wait(self, seconds: float = 240) -> int:
        """Waits for the driver's end; returns its exit code, after all processes have ended."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it hangs:\n{self.text()}") from error
        wait_for(lambda: not self.alive(), "the end of all processes")
        return code

    def text(self) -> str:
        return self.output.read_text()

    def evaluated(self) -> list[str]:
        """Lines of the evaluations of a sleeping search that came to their end."""
        path = self.folder / "evaluated"
        return path.read_text().splitlines() if path.exists() else []

    def wait_until_evaluated(self, count: int) -> None:
        def done() -> bool:
            assert self.process.poll() is None, self.text()
            return len(self.evaluated()) >= count

        wait_for(done, f"{count} evaluations")
        self.alive()

    def events(self) -> list[dict]:
        """Whole lines of a campaign's journal."""
        path = self.folder / "run" / "journal.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def finished(self) -> list[dict]:
        return [event for event in self.events() if event["event"] == "finished"]

    def wait_until_finished(self, count: int) -> None:
        def done() -> bool:
            assert self.process.poll() is None, self.text()
            return len(self.finished()) >= count

        wait_for(done, f"{count} finished evaluations")
        self.alive()

    def kill_all(self) -> None:
        """Ends what a test has left."""
        for process in self.alive():
            with contextlib.suppress(psutil.Error):
                process.kill()
