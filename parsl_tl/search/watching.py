"""What a search leaves in its folder for who watches it, and can do without."""

from __future__ import annotations

import logging
from pathlib import Path

from parsl_tl.errors import AnalysisError
from parsl_tl.reporting.machine import write_machine_facts
from parsl_tl.training.worker_note import FOLDER

logger = logging.getLogger(__name__)


def prepare_to_be_watched(folder: Path) -> None:
    """Writes ``machine.json``, and makes the folder for what workers are at.

    Args:
        folder: of the campaign; one that cannot be written is the journal's matter.
    """
    try:
        write_machine_facts(folder)
        (folder / FOLDER).mkdir(exist_ok=True)
    except (OSError, AnalysisError) as error:
        logger.warning("versions and notes of workers are not kept: %s", error)
