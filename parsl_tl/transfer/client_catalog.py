"""A catalog that the client itself searches: every model is compared with the candidate.

This is how transfer is done without a store that answers queries: with files in a folder, or with a
key-value store. The cost of a query grows with the number of models.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from parsl_tl.errors import InvalidValueError
from parsl_tl.transfer.donor_weights import Donor
from parsl_tl.transfer.model_record import ModelRecord

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph

DonorBy = Literal["search", "parent"]
"""Which model is the donor: the one with the longest prefix, or the candidate's parent."""


def check_donor_by(donor: str) -> None:
    """Refuses what is no ``DonorBy``.

    Raises:
        InvalidValueError: it is something else.
    """
    if donor not in ("search", "parent"):
        raise InvalidValueError(f"donor={donor!r}; choose 'search' or 'parent'")


class ClientCatalog:
    """The records of all models, as far as this process has seen them."""

    def __init__(self) -> None:
        self._records: dict[int, ModelRecord] = {}
        self._keys: dict[int, frozenset[int]] = {}

    def update(
        self,
        alive: Iterable[int],
        load: Callable[[list[int]], Mapping[int, ModelRecord]],
    ) -> None:
        """Forgets models that are gone, and learns about those that are new.

        Args:
            alive: ids of all models that there are.
            load: reads records; models that are gone meanwhile are left out.
        """
        ids = set(alive)
        for model_id in self._records.keys() - ids:
            self.forget(model_id)
        new = sorted(ids - self._records.keys())
        for model_id, record in (load(new) if new else {}).items():
            self._records[model_id] = record
            self._keys[model_id] = frozenset(record.keys)

    def forget(self, model_id: int) -> None:
        """Forgets a model that turned out to be gone."""
        self._records.pop(model_id, None)
        self._keys.pop(model_id, None)

    def record(self, model_id: int) -> ModelRecord:
        """Returns the record of a model that ``find`` named."""
        return self._records[model_id]

    def find(
        self,
        graph: ArchitectureGraph,
        donor: DonorBy,
        *,
        model_id: int | None,
        parent: int | None,
        min_quality: float | None,
        fingerprints: Collection[int] | None = None,
    ) -> Donor | None:
        """Finds the donor: the longest prefix, then the higher quality, then the later model.

        Args:
            graph: of the candidate.
            donor: who may be it.
            model_id: the candidate's own id, which cannot be its donor.
            parent: the candidate's parent.
            min_quality: models of less quality are no donors.
            fingerprints: of the data of models that may be the donor; any when None.
        """
        keys = frozenset(graph.layer_keys.tolist())
        candidates = self._records.keys() - {model_id}
        if donor == "parent":
            candidates &= {parent}
        best: tuple[int, float, int, int] | None = None
        for candidate in candidates:
            record = self._records[candidate]
            if min_quality is not None and record.quality < min_quality:
                continue
            if fingerprints is not None and record.fingerprint not in fingerprints:
                continue
            shared = len(keys & self._keys[candidate])
            rank = (shared, record.quality, record.created_ns, candidate)
            if shared and (best is None or rank > best):
                best = rank
        if best is None:
            return None
        theirs = self._keys[best[3]]
        own = zip(graph.layer_names, graph.layer_keys.tolist(), strict=True)
        return Donor(best[3], [name for name, key in own if key in theirs])
