"""Which models leave the store: those that left the population and are not among the best."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from parsl_tl.errors import ModelNotFoundError
from parsl_tl.store import ModelStore, format_model_id

logger = logging.getLogger(__name__)


class Retirement:
    """Retires models as they expire, and keeps the best ones for their user."""

    def __init__(self, store: ModelStore, keep_best: int) -> None:
        """Starts with nothing expired.

        Args:
            store: where the models are.
            keep_best: so many of the best models stay.
        """
        self._store = store
        self._keep_best = keep_best
        self._objectives: dict[int, float] = {}
        self._expired: set[int] = set()

    def restore(self, finished: Iterable[Mapping[str, Any]], population: Iterable[int]) -> None:
        """Takes over all results so far, and makes the store agree with them."""
        for row in finished:
            self._note(row)
        self._expired = set(self._objectives) - set(population)
        self._retire()

    def finished(self, row: Mapping[str, Any]) -> None:
        """Notes a result; a model that drops out of the best ones may go now."""
        self._note(row)
        self._retire()

    def expire(self, model_id: int) -> None:
        """Notes that a model left the population."""
        self._expired.add(model_id)
        self._retire()

    def _note(self, row: Mapping[str, Any]) -> None:
        if not isinstance(row["objective"], str):
            self._objectives[int(row["config"]["model_id"])] = float(row["objective"])

    def _retire(self) -> None:
        ranked = sorted(self._objectives, key=lambda model: -self._objectives[model])
        for model_id in self._expired.difference(ranked[: self._keep_best]):
            self._expired.discard(model_id)
            try:
                self._store.retire(model_id)
            except ModelNotFoundError:
                # Retired before an interruption, or by another user of the store.
                logger.debug("model %s is not in the store", format_model_id(model_id))
