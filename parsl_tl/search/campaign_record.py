"""The record of what a campaign, its workers and its stores do, in the campaign's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from parsl_tl.events.notes import Writes, noted_by
from parsl_tl.events.process_facts import FOLDER
from parsl_tl.events.spans import recorded_by, stages_kept
from parsl_tl.events.stage_log import StageLog

RECORDING_MODULE: Final = "parsl_tl.events.recorder"
"""What records; workers of a campaign that is recorded import it before their first task."""


def check_recording() -> None:
    """Looks whether this process can record.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    import parsl_tl.events.recorder  # noqa: F401


@contextlib.contextmanager
def recorded_in(folder: Path, write: Writes, *, spans: bool) -> Iterator[None]:
    """Records what is done in a ``with``.

    Args:
        folder: of the campaign.
        write: writes lines in its journal.
        spans: whether spans are recorded, too.

    Raises:
        ConfigError: OpenTelemetry is not installed.
        InvalidValueError: its variables ask for what is not spoken.
        OSError: the folder cannot be written.
    """
    if not spans:
        with noted_by(write), stages_kept(StageLog()):
            yield
        return
    from parsl_tl.events.recorder import Recorder

    (folder / FOLDER).mkdir(exist_ok=True)
    with noted_by(write), recorded_by(Recorder(folder / FOLDER, "driver")):
        yield
