"""What methods have in common that keep whole models, of which the client searches the catalog."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from parsl_tl.architecture.keras_state import check_model
from parsl_tl.errors import ModelNotFoundError
from parsl_tl.store.fingerprint import check_fingerprints
from parsl_tl.store.model_id import format_model_id
from parsl_tl.transfer.client_catalog import ClientCatalog, DonorBy, check_donor_by
from parsl_tl.transfer.donor_weights import Donor
from parsl_tl.transfer.method import Stored, Transferred
from parsl_tl.transfer.model_record import ModelRecord
from parsl_tl.transfer.weights import layers_with_weights, read_weights

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from parsl_tl.architecture import ArchitectureGraph

# Between finding a donor and reading it, it may be retired; then the next best one is tried.
_ATTEMPTS = 5


class CatalogTransfer(ABC):
    """Every model is kept whole, with a record beside it. Subclasses say where.

    Attributes:
        place: where models are kept, as error messages call it.
        donor: ``search`` for the longest prefix among all models, ``parent`` for the candidate's
            parent, without a search.
        min_quality: models of less quality are no donors.
    """

    name: ClassVar[str]
    needs: ClassVar[str]

    def __init__(self, place: str, donor: DonorBy, min_quality: float | None) -> None:
        """Looks at nothing yet.

        Raises:
            InvalidValueError: another ``donor``.
        """
        check_donor_by(donor)
        self.place = place
        self.donor = donor
        self.min_quality = min_quality
        self._catalog = ClientCatalog()

    @abstractmethod
    def list_ids(self) -> list[int]:
        """Returns the ids of all models that there are."""

    @abstractmethod
    def load_records(self, model_ids: list[int]) -> dict[int, ModelRecord]:
        """Reads records; models that are gone are left out."""

    @abstractmethod
    def take_from(
        self, donor: Donor, record: ModelRecord, model: keras.Model, graph: ArchitectureGraph
    ) -> Transferred:
        """Sets the weights that a donor has.

        Raises:
            ModelNotFoundError: it is gone.
        """

    @abstractmethod
    def write(
        self,
        record: ModelRecord,
        model: keras.Model,
        layers: Mapping[str, Any],
        weights: Mapping[str, list[NDArray[Any]]],
    ) -> bool:
        """Keeps a model: its weights first, so that whoever sees the record finds them.

        Args:
            record: of the model.
            model: the model.
            layers: its layers with weights, by stable name.
            weights: of these layers.

        Returns:
            False if there is a record of this id by now: another attempt was faster.
        """

    @abstractmethod
    def remove(self, record: ModelRecord) -> int:
        """Removes a model; gives the bytes that this freed."""

    def transfer(
        self,
        model: keras.Model,
        graph: ArchitectureGraph,
        *,
        model_id: int | None,
        parent: int | None = None,
        fingerprints: Collection[int] | None = None,
    ) -> Transferred:
        """Sets the weights that the donor has; see ``TransferMethod.transfer``."""
        allowed = check_fingerprints(fingerprints)
        for _ in range(_ATTEMPTS):
            self._catalog.update(self.list_ids(), self.load_records)
            found = self._catalog.find(
                graph,
                self.donor,
                model_id=model_id,
                parent=parent,
                min_quality=self.min_quality,
                fingerprints=allowed,
            )
            if found is None:
                break
            record = self._catalog.record(found.model_id)
            try:
                return self.take_from(found, record, model, graph)
            except ModelNotFoundError:  # retired since the catalog was read
                self._catalog.forget(found.model_id)
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
        """Writes all weights of the model; see ``TransferMethod.store``.

        Raises:
            ArchitectureError: a layer keeps more than config and weights, which would be lost.
            StoreError: nothing was stored.
        """
        check_model(model)
        layers = layers_with_weights(model, graph)
        weights = read_weights(layers)
        record = ModelRecord.of(model_id, graph, weights, quality, parent, attributes, fingerprint)
        recalled = self.recall(graph, model_id=model_id)
        if recalled is not None:
            return Stored(quality=recalled)
        if not self.write(record, model, layers, weights):
            return Stored(quality=self.recall(graph, model_id=model_id))
        return Stored(record.num_bytes, tuple(layers), record.quality)

    def recall(self, graph: ArchitectureGraph, *, model_id: int | None) -> float | None:
        """Returns the quality of a stored model with this id and graph, or None."""
        if model_id is None:
            return None
        record = self.load_records([model_id]).get(model_id)
        return None if record is None else record.quality_of(graph)

    def retire(self, model_id: int) -> int:
        """Removes the model; gives the bytes that this freed.

        Raises:
            ModelNotFoundError: there is no such model.
        """
        record = self.load_records([model_id]).get(model_id)
        if record is None:
            raise ModelNotFoundError(f"{self.place} has no model {format_model_id(model_id)}")
        freed = self.remove(record)
        self._catalog.forget(model_id)
        return freed

    def check(self) -> None:
        """Asks for a record, of whatever model.

        Raises:
            StoreError: the place where models are kept does not answer.
        """
        self.load_records([0])

    def close(self) -> None:
        """Forgets what it knows of models; a later call looks again."""
        self._catalog = ClientCatalog()
