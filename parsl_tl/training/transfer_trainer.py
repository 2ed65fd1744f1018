"""Training a candidate on top of what earlier models learned."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.architecture.keras_state import check_model
from parsl_tl.errors import (
    ModelExistsError,
    StoreBusyError,
    StoreError,
    StoreUnreachableError,
    TransferError,
)
from parsl_tl.events import annotate
from parsl_tl.store.model_id import format_model_id
from parsl_tl.training.base_trainer import BaseTrainer
from parsl_tl.training.best_epoch import BestEpoch
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.freezing import FrozenLayers
from parsl_tl.training.inheritance import Stage, check_stages, kept_share
from parsl_tl.training.initial_weights import InitialWeights
from parsl_tl.training.report import TrainingReport, describe
from parsl_tl.transfer import TransferMethod, Transferred
from parsl_tl.transfer.data_arguments import data_arguments
from parsl_tl.transfer.weights import layers_with_weights

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)


class TransferTrainer(BaseTrainer):
    """Transfers, trains what came over as the policy says, and stores what it trained.

    The policy (``inherit`` in the configuration) freezes what came over, for good or for a while;
    what it trained by the best epoch, the candidate owns. A frozen layer that changes all the same
    when it is called counts as trained. A stage that leaves nothing to train is passed over, and a
    candidate of which all stages are is only judged. If transfer fails, the candidate starts from
    scratch, and the report tells why.

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
        self._initial: InitialWeights | None = None
        self._policy = config.inheritance()
        self._trained_from: dict[str, int] = {}

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
            with self.report.parts.part("check"):
                check_model(model)  # before it is trained, and cannot be stored
        layers = layers_with_weights(model, self.graph)
        if not self.config.from_scratch and getattr(self._policy, "transfers", True):
            with self.report.timed("transfer"):
                keep = kept_share(self._policy)
                self._initial = InitialWeights(layers, keep) if keep < 1.0 else None
                self._transferred = self.transfer(model)
        with self.report.parts.part("freeze"):
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
        if transferred.donor is not None:
            annotate(donor=format_model_id(transferred.donor), bytes=transferred.num_bytes)
        return transferred

    def stages(self, model: keras.Model) -> Sequence[Stage]:
        """Asks the policy, and leaves out what would begin after the last epoch.

        Raises:
            InvalidValueError: what the policy answers makes no sense.
        """
        inherited = self._transferred.layer_names
        if not inherited or (self.config.train_whole_matches and not model.trainable_variables):
            return [Stage()]
        asked = self._policy.stages(inherited, self.report.layers_total)
        check_stages(self._policy, asked, inherited)
        stages: list[Stage] = []
        for stage in asked:
            if sum(one.epochs or 0 for one in stages) >= self.config.epochs:
                break
            stages.append(stage)
        return stages

    def enter(self, stage: Stage, model: keras.Model, epoch: int) -> dict[int, float]:
        """Freezes what the stage freezes; the rest is as trainable as it was."""
        self._frozen.keep_frozen(stage.frozen)
        begun = set(self._transferred.layer_names) - set(stage.frozen) - self._trained_from.keys()
        self._trained_from.update(dict.fromkeys(begun, epoch))
        if self._initial is not None:
            self._initial.mix_into(begun)
        if stage.rate == 1.0:
            return {}
        return {id(variable): stage.rate for variable in self._frozen.variables()}

    def hold(self, stage: Stage) -> Sequence[Any]:
        """Holds the frozen layers by their rate, where that is the same as to freeze them."""
        return self._frozen.hold(stage.frozen)

    def thaw(self, model: keras.Model, epoch: int) -> None:
        """Deprecated: ``enter`` a stage without frozen layers."""
        TransferTrainer.enter(self, Stage(), model, epoch)

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
        annotate(model_id=format_model_id(self.report.model_id or 0), bytes=stored.num_bytes)
        self.report.store_pending = stored.pending
        self.report.note_not_stored(stored.failures.items())
        if stored.quality is not None and stored.quality != quality:
            # Two attempts at this evaluation ran at once, and the other one stored its model.
            self.report.objective, self.report.recalled = stored.quality, True

    def _trained(self, model: keras.Model, best: BestEpoch) -> list[str]:
        thawed = {name for name, epoch in self._trained_from.items() if epoch <= best.epoch}
        # A layer that changed although it was frozen is no longer the donor's.
        changed = [name for name in self._frozen.changed() if name not in thawed]
        if changed:
            logger.info("frozen layers that changed when they were called: %s", changed)
        owned = thawed.union(changed)
        return [
            name
            for name in layers_with_weights(model, self.graph)
            if name not in self._frozen or name in owned
        ]
