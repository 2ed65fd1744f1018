"""What a search had to do without because its store did not answer, in numbers and words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SERVER = re.compile(r"(StoreUnreachable|StoreBusy)Error: .*?([a-z][a-z0-9+]*://\S*[^\s:;,.])")
_LONGEST_REASON = 160


class StoreFailures:
    """Counts evaluations without transfer and models that were not stored, and knows why."""

    def __init__(self) -> None:
        self.without_transfer = 0
        self.not_stored = 0
        self.not_retired = 0
        self._reasons: dict[str, None] = {}  # in the order in which they came

    def note(self, metadata: Mapping[str, Any]) -> None:
        """Takes in what an evaluation reported."""
        if metadata.get("transfer_error"):
            self.without_transfer += 1
            self._add(metadata["transfer_error"])
        if metadata.get("store_error"):
            self.not_stored += len((metadata.get("not_stored") or "-").split())
            self._add(metadata["store_error"])

    def note_not_stored(self, count: int, reason: str) -> None:
        """Takes in models that no evaluation reported as missing."""
        if count:
            self.not_stored += count
            self._add(reason)

    def note_not_retired(self, count: int, reason: str) -> None:
        """Takes in models that are still in the store although they should not be."""
        if count:
            self.not_retired = count
            self._add(reason)

    def _add(self, text: str) -> None:
        servers = _SERVER.findall(text)
        for kind, address in servers:
            state = "did not answer" if kind == "StoreUnreachable" else "was busy"
            self._reasons[f"store server {address} {state}"] = None
        if not servers:
            short = text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."
            self._reasons[short] = None

    def __bool__(self) -> bool:
        return bool(self.without_transfer or self.not_stored or self.not_retired)

    def __str__(self) -> str:
        """Says it in one line, "" if nothing went wrong."""
        if not self:
            return ""
        counts = {
            "without transfer": self.without_transfer,
            "not stored": self.not_stored,
            "not retired": self.not_retired,
        }
        shown = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        first, *others = self._reasons
        if len(others) > 1:
            return f"{shown}: {first} (and {len(others)} other reasons)"
        return f"{shown}: {', '.join([first, *others])}"
