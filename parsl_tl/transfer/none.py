"""No transfer: every candidate starts from scratch, and nothing is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from parsl_tl.transfer.method import Stored, Transferred

if TYPE_CHECKING:
    import keras

    from parsl_tl.architecture import ArchitectureGraph


class NoTransfer:
    """The baseline that transfer is measured against. Conforms to ``TransferMethod``."""

    name = "none"
    needs = None
    keeps_models = False

    def transfer(
        self,
        model: keras.Model,
        graph: ArchitectureGraph,
        *,
        model_id: int | None,
        parent: int | None = None,
        fingerprints: Collection[int] | None = None,
    ) -> Transferred:
        """Leaves the model as it is."""
        return Transferred()

    def store(
        self,
        model: keras.Model,
        graph: ArchitectureGraph,
        trained: Collection[str],
        *,
        model_id: int | None,
        quality: float,
        parent: int | None = None,
        transferred: Transferred | None = None,
        attributes: Mapping[str, object] | None = None,
        fingerprint: int = 0,
    ) -> Stored:
        """Keeps nothing."""
        return Stored(quality=quality)

    def recall(self, graph: ArchitectureGraph, *, model_id: int | None) -> float | None:
        """Remembers nothing."""
        return None

    def retire(self, model_id: int) -> int:
        """Has nothing to free."""
        return 0

    def check(self) -> None:
        """Needs nothing."""

    def close(self) -> None:
        """Holds nothing open."""
