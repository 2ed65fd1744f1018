"""What a record says of the process that wrote it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = "events"
"""The folder of the record, in the folder of a run."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def process_facts(role: str) -> dict[str, str | int]:
    """Returns a process's attributes, by OpenTelemetry's names where it has some.

    Args:
        role: what the process is to the search.
    """
    host = socket.gethostname()
    try:
        # Drawn at each start of the kernel: processes that see the same one have the same clock,
        # in whatever containers they are.
        clock = _BOOT_ID.read_text().strip()
    except OSError:
        clock = host
    return {"role": role, "host.name": host, "host.id": clock, "process.pid": os.getpid()}


def new_file_name(facts: Mapping[str, str | int]) -> str:
    """Returns the name of a new file of a record, which no other process writes to.

    Args:
        facts: what ``process_facts`` says of the process that will.
    """
    process = f"{facts['role']}-{facts['host.name']}-{facts['process.pid']}"
    return f"{process}-{secrets.token_hex(4)}.jsonl"
