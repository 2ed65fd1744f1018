"""The campaign's journal: what happened, one JSON line each; the one record of a run.

Lines are ``{"event": "submitted", "config": {...}}`` and ``{"event": "finished", "config": {...},
"objective": ..., "metadata": {...}}``, with ``"time_ns"`` of the event, in nanoseconds since 1970
by the clock of the search; journals of earlier releases have no times. A disk takes as long to
make sure of many lines as of one, and a search waits for it: what comes together is on disk by one
``sync``, before the search acts upon any of it. A line that a crash cut off was never acted upon,
and is dropped when the journal is opened again. What has finished tells its ``trace`` and
``stages`` (see ``events.stages.so_far``), and in its metadata the ``steps`` in its worker.

The other lines are of what no search is carried on from, and may be lost with a crash: ``lost``
(an evaluation, with its worker), ``block`` (a new state), ``retired``, ``warning``.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from parsl_tl.errors import CampaignError, InfrastructureError

logger = logging.getLogger(__name__)

Row = dict[str, Any]
# Of a file system that is mounted without locks, as Lustre may be.
_NO_LOCKS: Final = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


class Journal:
    """The one writer of a campaign's journal; a second process is refused.

    Attributes:
        num_finished: how many evaluations are finished.
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the journal.

        Raises:
            CampaignError: another process writes it, or a line before the last is damaged.
        """
        self._path = path
        # Kept open: it holds the lock. Without a buffer, a line that found the disk full is not
        # written later, after those that found room.
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise CampaignError(
                f"another process runs the campaign in {path.parent}; wait for its end, stop it, "
                "or name another folder"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                self._file.close()
                raise
            logger.warning(
                "the file system of %s has no locks (%s): see to it yourself that no second "
                "process runs this campaign",
                path.parent,
                error.strerror,
            )
        try:
            events, whole = read_whole_lines(path)
        except CampaignError:
            self._file.close()
            raise
        self._file.truncate(whole)
        self._whole = whole
        self._lock = threading.Lock()  # who watches executors has things to note, too
        self._is_on_disk = True
        submitted = {e["config"]["job"]: e["config"] for e in events if e["event"] == "submitted"}
        seen = {row["config"]["job"] for row in _finished(events)}
        self._open = {job: c for job, c in submitted.items() if job not in seen}
        self.num_finished = len(seen)

    @property
    def unfinished(self) -> list[Row]:
        """Configurations that were submitted and have not finished."""
        return list(self._open.values())

    @property
    def finished(self) -> list[Row]:
        """All finished rows, read from disk: a long search need not hold them, too."""
        return read_journal(self._path)

    def submitted(self, config: Mapping[str, Any]) -> None:
        """Notes that a configuration is about to be evaluated, from the next ``sync`` on.

        Raises:
            InfrastructureError: it cannot be written.
        """
        event = {"event": "submitted", "time_ns": time.time_ns(), "config": dict(config)}
        self._write(event)
        self._open[config["job"]] = dict(config)

    def finish(
        self,
        config: Mapping[str, Any],
        objective: Any,
        metadata: Mapping[str, Any],
        so_far: Mapping[str, Any] | None = None,
    ) -> Row:
        """Notes a result, and returns its row; it may be acted upon after the next ``sync``.

        Args:
            config: of the evaluation.
            objective: its result, or ``F_<reason>``.
            metadata: what it tells of itself.
            so_far: what the driver did for it; see ``parsl_tl.events.stages.so_far``.

        Raises:
            InfrastructureError: it cannot be written.
        """
        row = {
            "event": "finished",
            "time_ns": time.time_ns(),
            "config": dict(config),
            "objective": objective,
            "metadata": dict(metadata),
            **(so_far or {}),
        }
        self._write(row)
        self._open.pop(config["job"], None)
        self.num_finished += 1
        return row

    def note(self, event: str, **facts: Any) -> None:
        """Writes a line that may be lost; see ``parsl_tl.events.note``."""
        try:
            with self._lock:
                if not self._file.closed:
                    self._append({"event": event, "time_ns": time.time_ns(), **facts})
        except OSError as error:  # what must be written tells of it
            logger.debug("the journal lacks a line: %s", error)

    def sync(self) -> None:
        """Waits until all that was noted is on disk.

        Raises:
            InfrastructureError: it cannot be written.
        """
        with self._lock:
            if self._is_on_disk:
                return
            try:
                os.fdatasync(self._file.fileno())
            except OSError as error:
                raise self._unwritable(error) from error
            self._is_on_disk = True

    def close(self) -> None:
        """Gives the lock back, when all is on disk."""
        try:
            self.sync()
        finally:
            with self._lock:
                if not self._file.closed:
                    self._unlock()
                self._file.close()

    def _unlock(self) -> None:
        """Closing is not enough: a child that was forked meanwhile has the file, too."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise

    def _append(self, event: Row) -> None:
        line = json.dumps(event, default=_plain).encode() + b"\n"
        # Anything after the last whole line was cut off by a full disk.
        self._file.truncate(self._whole)
        if self._file.write(line) != len(line):
            self._file.truncate(self._whole)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._whole += len(line)

    def _write(self, event: Row) -> None:
        try:
            with self._lock:
                self._append(event)
                self._is_on_disk = False
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InfrastructureError:
        return InfrastructureError(
            f"{self._path} cannot be written: {error.strerror}; when it can, carry on with "
            "--resume (Campaign.resume)"
        )


def _plain(value: Any) -> Any:
    """Numpy scalars as Python numbers."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} of the journal is no JSON")


def read_journal(path: Path) -> list[Row]:
    """Returns the finished rows of a journal that another process may be writing."""
    return _finished(read_whole_lines(path)[0])


def _finished(events: list[Row]) -> list[Row]:
    rows: dict[int, Row] = {}
    for event in events:
        if event["event"] == "finished":
            rows.setdefault(event["config"]["job"], event)
    return list(rows.values())


def read_whole_lines(path: Path) -> tuple[list[Row], int]:
    """Returns the rows of a file of JSON lines, and how many bytes of it hold whole lines.

    Who was killed while writing leaves a part of a line at the end, which is passed over.

    Raises:
        CampaignError: a line before that is damaged.
    """
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    events = []
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            events.append(json.loads(line))
        except ValueError as error:
            raise CampaignError(
                f"{path}, line {number}, is damaged; restore the file from a copy, "
                "or start a new campaign in another folder"
            ) from error
    return events, whole
