"""The record of what a campaign, its workers and its stores do, in the campaign's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

RECORDING_MODULE: Final = "parsl_tl.events.recorder"
"""What records; workers of a campaign that is recorded import it before their first task."""


def check_recording() -> None:
    """Looks whether this process can record.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    import parsl_tl.events.recorder  # noqa: F401


@contextlib.contextmanager
def recorded_in(folder: Path, wanted: bool) -> Iterator[None]:
    """Records what is done in a ``with``, if that is wanted.

    Args:
        folder: of the campaign.
        wanted: False records nothing.

    Raises:
        ConfigError: OpenTelemetry is not installed.
        InvalidValueError: its variables ask for what is not spoken.
        OSError: the folder cannot be written.
    """
    if not wanted:
        yield
        return
    from parsl_tl.events.process_facts import FOLDER
    from parsl_tl.events.recorder import Recorder
    from parsl_tl.events.spans import recorded_by

    (folder / FOLDER).mkdir(exist_ok=True)
    with recorded_by(Recorder(folder / FOLDER, "driver")):
        yield
