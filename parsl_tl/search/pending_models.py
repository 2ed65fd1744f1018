"""Models whose evaluation is finished while they are still on their way to the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from parsl_tl.errors import StoreError
from parsl_tl.store import ModelStore

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.2


class PendingModels:
    """The models that workers store in the background, until they are seen in the store.

    Only this run's: what was on its way when a search was killed never arrives.
    """

    def __init__(self) -> None:
        self._ids: set[int] = set()

    def note(self, row: Mapping[str, Any]) -> None:
        """Takes in a finished evaluation."""
        metadata = row["metadata"]
        if metadata.get("store_pending"):
            self._ids.add(int(row["config"]["model_id"]))
        failed = (metadata.get("not_stored") or "").split()
        self._ids.difference_update(int(text, 16) for text in failed if text != "-")

    def arrived(self, model_id: int) -> None:
        """Notes that a model was seen in the store."""
        self._ids.discard(model_id)

    def __contains__(self, model_id: int) -> bool:
        return model_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def wait(self, store: ModelStore, seconds: float) -> int:
        """Waits until all are there, or none came for ``seconds``; returns the number missing."""
        deadline = time.monotonic() + seconds
        while self._ids:
            try:
                there = {model_id for model_id in self._ids if model_id in store}
            except StoreError as error:
                logger.warning("cannot ask whether models are stored: %s", error)
                there = set()
            self._ids -= there
            if there:
                deadline = time.monotonic() + seconds
            elif time.monotonic() > deadline:
                break
            if self._ids:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        return len(self._ids)
