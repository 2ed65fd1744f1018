"""Training a candidate from scratch: build, compile, fit, keep the best epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import NaNLossError
from parsl_tl.problems import Data
from parsl_tl.training.best_epoch import BestEpoch
from parsl_tl.training.compiling import check_outputs, compile_model, judge
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.feed import cut_feed, whole_feed
from parsl_tl.training.fitting import Fitting, compiled
from parsl_tl.training.freezing import may_change
from parsl_tl.training.held_layers import is_worth_holding
from parsl_tl.training.inheritance import Stage
from parsl_tl.training.old_hooks import stages_from_thaw_after
from parsl_tl.training.report import TrainingReport
from parsl_tl.training.runtime import array_bytes, seed_everything
from parsl_tl.training.schedules import schedule_callback
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
        counts_start: whether the weights that training begins with may be the ones that are kept,
            as those of epoch 0; for models that were trained before.
        graph: the candidate's graph.
        model: the Keras model; None before ``run`` when a graph was given.
        report: figures of the evaluation.
    """

    counts_start = False

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

    def hold(self, stage: Stage) -> Sequence[Any]:
        """Makes trainable again what a stage freezes, to be held by a learning rate of zero.

        Returns:
            The variables to hold; none keeps the stage as it was entered.
        """
        return ()

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
            if self.counts_start:
                best.count_start(self._judge(model, data))
            with ExitStack() as stack:
                self._train_stages(model, data, best, stages, stack)
            if best.epochs == 0:
                return self._evaluate(model, data, best)
        finally:
            self.report.epochs, self.report.history = best.epochs, best.history
        best.restore()
        self.report.best_epoch = best.epoch + 1
        return best

    def _train_stages(
        self,
        model: keras.Model,
        data: Data,
        best: BestEpoch,
        stages: Sequence[Stage],
        stack: ExitStack,
    ) -> None:
        config = self.config
        fitting: Fitting | None = None
        for number, stage in enumerate(stages):
            left = config.epochs - best.epochs
            if left <= 0:
                break
            shares = self.enter(stage, model, best.epochs)
            if not model.trainable_variables:
                continue
            if best.epochs == 0:
                self.report.parameters_trainable = _count(model.trainable_variables)
            best.be_patient_again()
            epochs = left if stage.epochs is None else min(left, stage.epochs)
            callbacks = self._callbacks()
            if fitting is None or not fitting.thaw(shares):
                stack.close()  # what was compiled for the stage before
                rest = stages[number + 1 :]
                is_thawed_next = bool(stage.frozen and rest and not rest[0].frozen)
                fitting = stack.enter_context(
                    self._compiled(model, data, stage, epochs, shares, callbacks, is_thawed_next)
                )
            fitting.fit(best, epochs, [*callbacks, best.callback(), *self.watchers()])
            best.check()

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        config = self.config
        if config.schedule is None:
            return self.callbacks()
        schedule = schedule_callback(
            config.schedule, config.learning_rate, config.epochs, config.objective
        )
        return [schedule, *self.callbacks()]

    def _compiled(
        self,
        model: keras.Model,
        data: Data,
        stage: Stage,
        epochs: int,
        shares: Mapping[int, float],
        callbacks: list[keras.callbacks.Callback],
        is_thawed_next: bool,
    ) -> AbstractContextManager[Fitting]:
        """Compiles the model, or what follows its frozen prefix, for a stage."""
        config, report = self.config, self.report
        held: Sequence[Any] = ()
        if is_thawed_next and is_worth_holding(
            model, config, data, epochs=epochs, callbacks=callbacks
        ):
            held = self.hold(stage)
        feed = None
        if not held:
            feed = cut_feed(model, config, data, epochs=epochs, callbacks=callbacks, report=report)
        return compiled(
            feed or whole_feed(model, config, data),
            config,
            data,
            shares=shares,
            held=held,
            callbacks=callbacks,
            report=report,
        )

    def _evaluate(self, model: keras.Model, data: Data, best: BestEpoch) -> BestEpoch:
        """Judges a model that has nothing to train: all of it came from its donor."""
        best.history.append(self._judge(model, data))
        best.value = self.config.score(best.history[-1])
        if not math.isfinite(best.value):
            raise NaNLossError("the objective of a wholly transferred model is NaN or infinite")
        return best

    def _judge(self, model: keras.Model, data: Data) -> dict[str, float]:
        """Returns the metrics of the validation part, by the names that they have in training."""
        compile_model(model, self.config, data)
        logs = judge(model, self.config.problem, data, self.config.batch_size)
        return {f"val_{name}": value for name, value in logs.items()}


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
