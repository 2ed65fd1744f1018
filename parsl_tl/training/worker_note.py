"""What a worker does at this moment, in a small file that whoever watches the search can read."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

FOLDER: Final = "workers"
"""The folder of the notes, in the folder of a run."""

# Steps that are over before anybody could have looked are not worth a file.
_SECONDS_BETWEEN_NOTES = 0.5
_LONGEST = "train"


class WorkerNote:
    """Says what one evaluation is at; a folder that is not there, or full, ends it, and no more.

    Workers on nodes that do not see the run's folder leave no notes: the folder is never made here.
    """

    def __init__(self, folder: str | os.PathLike[str], about: dict[str, Any]) -> None:
        """Writes nothing yet.

        Args:
            folder: of the notes.
            about: of the evaluation and its worker; ``worker`` (``host:pid``) names the file.
        """
        name = str(about["worker"]).replace(":", "-").replace("/", "-")
        self._path: Path | None = Path(folder) / f"{name}.json"
        self._about = about
        self._written = 0.0

    def tell(self, step: str) -> None:
        """Notes that a step begins; short ones that follow the last note at once are left out."""
        now = time.monotonic()
        is_short = step != _LONGEST and now - self._written < _SECONDS_BETWEEN_NOTES
        if self._path is None or is_short:
            return
        self._written = now
        partial = self._path.with_suffix(".tmp")
        try:
            partial.write_text(
                json.dumps({**self._about, "step": step, "since_ns": time.time_ns()})
            )
            partial.replace(self._path)
        except OSError as error:
            logger.info("no notes of what this worker does: %s", error)
            self._path = None


def read_notes(folder: Path) -> list[dict[str, Any]]:
    """Returns the notes in a run's folder, one for each worker process that there ever was.

    Args:
        folder: of the run.
    """
    notes = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            notes.append(dict(json.loads(path.read_text())))
        except (OSError, ValueError) as error:  # of a node that died, or copied in part
            logger.info("%s tells nothing: %s", path, error)
    return notes
