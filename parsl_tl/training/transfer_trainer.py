"""Training a candidate on top of what earlier models learned."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.architecture.keras_state import check_model
from parsl_tl.errors import (
    ModelExistsError,
    StoreBusyError,
    StoreError,
    StoreUnreachableError,
    TransferError,
)
from parsl_tl.training.base_trainer import BaseTrainer
from parsl_tl.training.best_epoch import BestEpoch
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.freezing import FrozenLayers
from parsl_tl.training.report import TrainingReport, describe
from parsl_tl.transfer import TransferMethod, Transferred
from parsl_tl.transfer.data_arguments import data_arguments
from parsl_tl.transfer.weights import layers_with_weights

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)


class TransferTrainer(BaseTrainer):
    """Transfers, freezes what came over, trains the rest, and stores what it trained.

    A frozen layer that changes all the same when it is called counts as trained.

    With ``unfreeze_after`` in the configuration, what came over is thawed after that many epochs;
    if an epoch after that is the best one, the candidate owns these layers too. A candidate of
    which nothing is left to train is only judged, or thawed at once if that was asked for. If
    transfer fails, the candidate starts from scratch, and the report tells why.

    Args:
        config: problem and recipe.
        model: the candidate: its graph, or a Keras model of one's own.
        transfer_method: where weights come from and go to.
        report: to fill in; a new one if left out.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: ArchitectureGraph | keras.Model,
        transfer_method: TransferMethod,
        *,
        report: TrainingReport | None = None,
    ) -> None:
        super().__init__(config, model, report=report)
        self.transfer_method = transfer_method
        self._transferred = Transferred()
        self._frozen = FrozenLayers({}, ())
        self._thawed_at: int | None = None

    def recall(self) -> float | None:
        """Returns the quality under which an earlier attempt stored this very candidate.

        Raises:
            ModelExistsError: the id belongs to another architecture.
        """
        try:
            with self.report.timed("transfer"):
                return self.transfer_method.recall(self.graph, model_id=self.config.model_id)
        except ModelExistsError:
            raise
        except StoreError as error:
            # Whether the store answers is for ``transfer`` and ``store`` to find out.
            logger.warning("cannot ask whether the model is stored already: %s", error)
            return None

    def prepare(self, model: keras.Model) -> None:
        """Transfers weights and freezes the layers that got them.

        Raises:
            ArchitectureError: a layer keeps more than config and weights, and cannot be stored.
        """
        if getattr(self.transfer_method, "keeps_models", True):
            check_model(model)  # before it is trained, and cannot be stored
        if not self.config.from_scratch:
            with self.report.timed("transfer"):
                self._transferred = self.transfer(model)
        layers = layers_with_weights(model, self.graph)
        self._frozen = FrozenLayers(layers, self._transferred.layer_names)

    def transfer(self, model: keras.Model) -> Transferred:
        """Takes over what the transfer method offers, or nothing if it fails."""
        try:
            transferred = self.transfer_method.transfer(
                model,
                self.graph,
                model_id=self.config.model_id,
                parent=self.config.parent,
                **data_arguments(
                    self.transfer_method.transfer, fingerprints=self.config.fingerprints()
                ),
            )
        except (StoreError, TransferError, OSError) as error:
            logger.warning("evaluation goes on without transfer: %s", error)
            self.report.transfer_error = describe(error)
            return Transferred()
        self.report.donor = transferred.donor
        self.report.layers_matched = transferred.layers_matched
        self.report.layers_transferred = len(transferred.layer_names)
        self.report.bytes_transferred = transferred.num_bytes
        return transferred

    def thaw_after(self) -> int | None:
        """Returns ``unfreeze_after`` if there is anything to thaw and an epoch left to train it."""
        after = self.config.unfreeze_after
        if self.config.train_whole_matches and self.model and not self.model.trainable_variables:
            after = 0
        if after is None or after >= self.config.epochs or not self._transferred.layer_names:
            return None
        return after

    def thaw(self, model: keras.Model, epoch: int) -> None:
        """Makes the transferred layers as trainable as they were."""
        self._frozen.thaw()
        self._thawed_at = epoch

    def finish(self, model: keras.Model, best: BestEpoch) -> None:
        """Stores the model."""
        super().finish(model, best)
        with self.report.timed("store"):
            self.store(model, best.value, self._trained(model, best))
        self._transferred = Transferred()  # the donor may go now

    def store(self, model: keras.Model, quality: float, trained: Collection[str]) -> None:
        """Stores the layers that were trained, the others by reference to their owners.

        A store that does not answer costs later candidates a donor, and not this one its
        objective: the report tells why the model is not there.

        Args:
            model: with the weights of its best epoch.
            quality: its objective.
            trained: stable names of the layers it owns.

        Raises:
            StoreError: nothing was stored, for another reason.
        """
        try:
            stored = self.transfer_method.store(
                model,
                self.graph,
                trained,
                model_id=self.config.model_id,
                quality=quality,
                parent=self.config.parent,
                transferred=self._transferred,
                attributes=self.config.attributes,
                **data_arguments(
                    self.transfer_method.store, fingerprint=self.config.problem.fingerprint()
                ),
            )
        except (StoreUnreachableError, StoreBusyError) as error:
            logger.warning("the model was not stored: %s", error)
            self.report.note_not_stored([(self.config.model_id, describe(error))])
            return
        self.report.bytes_stored = stored.num_bytes
        self.report.store_pending = stored.pending
        self.report.note_not_stored(stored.failures.items())
        if stored.quality is not None and stored.quality != quality:
            # Two attempts at this evaluation ran at once, and the other one stored its model.
            self.report.objective, self.report.recalled = stored.quality, True

    def _trained(self, model: keras.Model, best: BestEpoch) -> list[str]:
        names = list(layers_with_weights(model, self.graph))
        if self._thawed_at is not None and best.epoch >= self._thawed_at:
            return names
        # A layer that changed although it was frozen is no longer the donor's.
        changed = self._frozen.changed()
        if changed:
            logger.info("frozen layers that changed when they were called: %s", changed)
        return [name for name in names if name not in self._frozen or name in changed]
