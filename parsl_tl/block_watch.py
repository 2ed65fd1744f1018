"""Blocks that a scheduler says are running, and that do nothing; and executors without any."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from parsl_tl.events import note, stages
from parsl_tl.log_file import last_lines

logger = logging.getLogger(__name__)

# How long an executor may have tasks and no block before it is given up. Parsl's strategies look
# every few seconds whether blocks are wanted.
_LONGEST_WITHOUT_BLOCKS = 300.0
_LAST_LINES = 15
# How blocks end that nobody has ended, and that did not come to their end.
_FAILED = ("FAILED", "TIMEOUT", "MISSING")


class BlockWatch:
    """Looks after the blocks of one HighThroughputExecutor.

    A node that hangs, or whose pool of workers does, holds its block without working: Parsl starts
    no other one in its place. Such a block is cancelled when its pools have been missing for as
    long again as the executor takes to miss them.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._seen: dict[str, float] = {}  # when a block's pools were connected last
        self._had_block = time.monotonic()
        self._ended: set[str] = set()
        self._followed: set[str] = set()  # blocks in whose place another one was asked for
        self._states: dict[str, str] = {}  # of blocks, as they are recorded

    def look(self, managers: Iterable[Mapping[str, Any]]) -> None:
        """Cancels blocks whose pools are gone, has others follow, and logs which have ended.

        Args:
            managers: the pools that are connected.
        """
        managers = list(managers)
        now = time.monotonic()
        blocks = dict(self._executor.status_facade)
        self._record(blocks)
        running = {block for block, status in blocks.items() if not status.terminal}
        self._seen.update((manager["block_id"], now) for manager in managers)
        self._seen = {block: seen for block, seen in self._seen.items() if block in running}
        for block, seen in list(self._seen.items()):
            if now - seen > self._executor.heartbeat_threshold:
                logger.warning(
                    "block %s of executor %s runs without its workers, and is cancelled",
                    block,
                    self._executor.label,
                )
                del self._seen[block]
                self._cancel(block)
        self._follow(managers, running)
        if running or not self._executor.outstanding():
            self._had_block = now
        self._tell_ended(blocks)

    def _follow(self, managers: Iterable[Mapping[str, Any]], running: set[str]) -> None:
        """Asks for a block in the place of each that drains, once."""
        drains: dict[str, bool] = {}
        for manager in managers:
            block = manager["block_id"]
            drains[block] = drains.get(block, True) and bool(manager["draining"])
        draining = {block for block in running if drains.get(block)}
        due = draining - self._followed
        if not due or not self._executor.outstanding():
            return
        self._followed |= due
        lacking = self._executor.provider.max_blocks - len(running - draining)
        if (count := min(len(due), lacking)) > 0:
            logger.info("executor %s: blocks that end soon: %d", self._executor.label, len(due))
            self._executor.scale_out_facade(count)

    def _record(self, blocks: Mapping[str, Any]) -> None:
        """Records blocks with their states, as the scheduler tells them."""
        for block, status in blocks.items():
            state, before = status.state.name.lower(), self._states.get(block)
            if state == before:
                continue
            self._states[block] = state
            note("block", site=self._executor.label, block=block, state=state)
            if before is None:
                stages.begin(
                    self._key(block), "block", state, block=block, site=self._executor.label
                )
            with stages.about(self._key(block)):
                stages.go_on(state)
            if status.terminal:
                stages.end(self._key(block))

    def _key(self, block: str) -> tuple[str, str, str]:
        return ("block", self._executor.label, block)

    def close(self) -> None:
        """Ends what is recorded of blocks; they may go on."""
        for block in self._states:
            stages.end(self._key(block))
        self._states.clear()

    def why_given_up(self) -> str | None:
        """Returns why no task of the executor will ever run, or None."""
        if time.monotonic() - self._had_block <= _LONGEST_WITHOUT_BLOCKS:
            return None
        return (
            f"it has had tasks and no block for {_LONGEST_WITHOUT_BLOCKS:g} seconds; with "
            'strategy="simple" in the Parsl configuration, blocks that have ended are started anew'
        )

    def _tell_ended(self, blocks: Mapping[str, Any]) -> None:
        for block, status in blocks.items():
            if not status.terminal or block in self._ended:
                continue
            self._ended.add(block)
            is_failure = status.status_name in _FAILED or status.exit_code
            logger.log(
                logging.WARNING if is_failure else logging.INFO,
                "block %s of executor %s has ended: %s",
                block,
                self._executor.label,
                describe_block(status),
            )

    def _cancel(self, block: str) -> None:
        try:
            self._executor.provider.cancel([self._executor.blocks_to_job_id[block]])
        except Exception as error:  # whatever a scheduler's commands may come to
            logger.warning("block %s cannot be cancelled: %s", block, error)


def describe_block(status: Any) -> str:
    """Says how a block is, in some lines: its state, exit code, and the last that it has printed.

    Args:
        status: Parsl's ``JobStatus``.
    """
    code = "" if status.exit_code is None else f", exit code {status.exit_code}"
    parts = [f"{status.status_name}{code}", status.message or ""]
    parts += [_tail(path) for path in (status.stdout_path, status.stderr_path) if path]
    return "\n".join(part for part in parts if part)


def _tail(path: str) -> str:
    try:
        lines = last_lines(path, _LAST_LINES)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"end of {path}:\n{lines}" if lines else ""
