"""The file in which a server records its part of its clients' spans."""

from __future__ import annotations

import json
import os
from pathlib import Path

from parsl_tl.errors import StorePermissionError
from parsl_tl.events.process_facts import new_file_name, process_facts
from parsl_tl.native import native


def open_span_log(folder: str | os.PathLike[str], store: str) -> native.SpanLog:
    """Opens a file of its own in the folder of a record, which is made if it is not there.

    Args:
        folder: of the record.
        store: the folder that is served.

    Raises:
        StorePermissionError: the folder cannot be made or written.
    """
    facts = process_facts("server")
    path = Path(folder).expanduser().absolute() / new_file_name(facts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise StorePermissionError(
            f"spans cannot be recorded in {path.parent}: {error.strerror}"
        ) from error
    return native.SpanLog(
        str(path), otlp_resource({"service.name": "parsl_tl.store", "store": store, **facts})
    )


def otlp_resource(facts: dict[str, str | int]) -> str:
    """Returns a resource of OTLP, as JSON."""
    attributes = [
        {
            "key": key,
            "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
        }
        for key, value in facts.items()
    ]
    return json.dumps({"attributes": attributes}, separators=(",", ":"))
