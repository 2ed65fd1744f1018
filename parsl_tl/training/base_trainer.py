"""Training a candidate from scratch: build, compile, fit, keep the best epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import NaNLossError
from parsl_tl.problems import Data
from parsl_tl.training.best_epoch import BestEpoch
from parsl_tl.training.compiling import check_outputs, compile_model, judge
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.epoch_slices import epoch_slices
from parsl_tl.training.feed import cut_feed, whole_feed
from parsl_tl.training.freezing import may_change
from parsl_tl.training.inheritance import Stage
from parsl_tl.training.old_hooks import stages_from_thaw_after
from parsl_tl.training.report import TrainingReport
from parsl_tl.training.runtime import array_bytes, seed_everything
from parsl_tl.training.schedules import schedule_callback
from parsl_tl.training.whole_epochs import whole_epochs
from parsl_tl.transfer.weights import layers_with_weights

if TYPE_CHECKING:
    import keras


class BaseTrainer:
    """Trains one candidate from scratch and keeps the weights of its best epoch.

    The objective is the validation value of the weights that are kept, so what a search ranks by
    is what anyone gets who loads the model. A subclass adds steps around training: it overrides
    ``recall``, ``prepare``, ``stages``, ``enter`` and ``finish``.

    Args:
        config: problem and recipe.
        model: the candidate: its graph, or a Keras model of one's own (with the weights it has).
        report: to fill in; a new one if left out.

    Attributes:
        config: as given.
        graph: the candidate's graph.
        model: the Keras model; None before ``run`` when a graph was given.
        report: figures of the evaluation.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: ArchitectureGraph | keras.Model,
        *,
        report: TrainingReport | None = None,
    ) -> None:
        self.config = config
        self.report = report if report is not None else TrainingReport()
        self.report.model_id, self.report.parent = config.model_id, config.parent
        self.report.seed = config.seed
        self.graph: ArchitectureGraph
        self.model: keras.Model | None
        if isinstance(model, ArchitectureGraph):
            self.graph, self.model = model, None
        else:
            self.graph, self.model = ArchitectureGraph.from_keras(model), model

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "thaw_after" in vars(cls):
            stages_from_thaw_after(cls)

    def run(self) -> TrainingReport:
        """Evaluates the candidate.

        Raises:
            ArchitectureError: the graph is no model, or no model of this problem.
            ProblemError: the data cannot be loaded.
            NaNLossError: training diverged.
            StoreError: the trained model could not be stored.
        """
        start = time.perf_counter()
        report = self.report
        try:
            report.objective = self.recall()
            if report.objective is not None:
                report.recalled = True
                with report.timed("build"):
                    self._build()  # the report tells of its size all the same
                return report
            with report.timed("load"):
                data = self.config.problem.load()
            with report.timed("build"):
                model = self._build()
            self.prepare(model)
            with report.timed("train"):
                best = self._train(model, data)
            self.finish(model, best)
        finally:
            report.seconds_total += time.perf_counter() - start
        return report

    def recall(self) -> float | None:
        """Returns the objective if an earlier attempt at this evaluation got to the end."""
        return None

    def prepare(self, model: keras.Model) -> None:
        """Does what comes between building and training; nothing here."""

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns the callbacks of each ``fit``, in order: the problem's."""
        return list(self.config.problem.callbacks())

    def watchers(self) -> list[keras.callbacks.Callback]:
        """Returns callbacks that look on: training does nothing otherwise because of them.

        They hear of epochs; of the steps of an epoch they may hear of the last one only.
        """
        return []

    def stages(self, model: keras.Model) -> Sequence[Stage]:
        """Returns the stages of training; by default there is one, in which nothing changes."""
        return [Stage()]

    def enter(self, stage: Stage, model: keras.Model, epoch: int) -> dict[int, float]:
        """Makes trainable what a stage trains, from epoch ``epoch`` on.

        The model is then compiled anew.

        Returns:
            Shares of the learning rate by ``id`` of a variable; 1 for those that are not there.
        """
        return {}

    def finish(self, model: keras.Model, best: BestEpoch) -> None:
        """Does what comes after training; the model has the weights of the best epoch."""
        self.report.objective = best.value

    def _build(self) -> keras.Model:
        seed_everything(self.config.seed)
        if self.model is None:
            self.model = self.graph.to_keras()
        model = self.model
        check_outputs(model, self.config.problem)
        self.report.parameters_total = int(model.count_params())
        self.report.bytes_total = array_bytes(model.weights)
        self.report.layers = len(self.graph)
        self.report.layers_total = len(layers_with_weights(model, self.graph))
        return model

    def _train(self, model: keras.Model, data: Data) -> BestEpoch:
        config, stages = self.config, self.stages(model)
        best = BestEpoch(
            model,
            config.score,
            # What a later stage trains changes too, so its present values belong to the snapshot.
            lambda: model.weights if len(stages) > 1 else _changing_weights(model),
            last_epoch=config.epochs - 1,
            early_stopping_patience=config.early_stopping_patience,
        )
        try:
            for stage in stages:
                if best.epochs >= config.epochs:
                    break
                shares = self.enter(stage, model, best.epochs)
                if not model.trainable_variables:
                    continue
                if best.epochs == 0:
                    self.report.parameters_trainable = _count(model.trainable_variables)
                best.be_patient_again()
                self._fit(model, data, best, stage, shares)
            if best.epochs == 0:
                return self._evaluate(model, data, best)
        finally:
            self.report.epochs, self.report.history = best.epochs, best.history
        best.restore()
        self.report.best_epoch = best.epoch + 1
        return best

    def _fit(
        self,
        model: keras.Model,
        data: Data,
        best: BestEpoch,
        stage: Stage,
        rate_shares: Mapping[int, float],
    ) -> None:
        """Trains to the end of a stage, or until it would stop early."""
        config = self.config
        left = config.epochs - best.epochs
        epochs = left if stage.epochs is None else min(left, stage.epochs)
        callbacks = self.callbacks()
        feed = cut_feed(
            model, config, data, epochs=epochs, callbacks=callbacks, report=self.report
        ) or whole_feed(model, config, data)
        with self.report.parts.part("compile"):
            compile_model(feed.model, config, data, rate_shares=rate_shares)
        if config.schedule is not None:
            schedule = schedule_callback(
                config.schedule, config.learning_rate, config.epochs, config.objective
            )
            callbacks.insert(0, schedule)
        slices = epoch_slices(self.report.parts)
        fed = whole_epochs(feed.model, feed.training, feed.validation, callbacks, self.report)
        with fed as (training, validation):
            feed.model.fit(
                training,
                validation_data=validation,
                initial_epoch=best.epochs,
                epochs=best.epochs + epochs,
                shuffle=False,  # the dataset does it
                verbose=0,
                callbacks=[*callbacks, best.callback(), *self.watchers(), slices],
            )
        best.check()

    def _evaluate(self, model: keras.Model, data: Data, best: BestEpoch) -> BestEpoch:
        """Judges a model that has nothing to train: all of it came from its donor."""
        config = self.config
        compile_model(model, config, data)
        logs = judge(model, config.problem, data, config.batch_size)
        best.history.append({f"val_{name}": value for name, value in logs.items()})
        best.value = config.score(best.history[-1])
        if not math.isfinite(best.value):
            raise NaNLossError("the objective of a wholly transferred model is NaN or infinite")
        return best


def _changing_weights(model: keras.Model) -> list[Any]:
    """Returns the weights of the layers that training can change.

    That is more than the trainable ones: a trained batch normalization has moving statistics, and
    a layer of one's own may count.
    """
    return [
        weight
        for layer in model.layers
        if layer.trainable or may_change(layer)
        for weight in layer.weights
    ]


def _count(variables: list[Any]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)
