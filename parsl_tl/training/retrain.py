"""Training a found model fully, and testing it: what happens after a search, on a worker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.errors import InvalidValueError
from parsl_tl.store.export import load_keras_model
from parsl_tl.store.uri import open_store
from parsl_tl.training.base_trainer import BaseTrainer
from parsl_tl.training.compiling import compile_model, judge
from parsl_tl.training.job import EvaluationJob
from parsl_tl.training.runtime import configure_threads, releasing_memory

if TYPE_CHECKING:
    import keras

STARTS: Final = ("inherited", "scratch")
"""What a full training begins with: the weights that the search left, or new ones."""


def retrain(
    job: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    start: str,
    epochs: int,
    save: str | None = None,
) -> dict[str, Any]:
    """Trains a model that a search has found, all of its layers, for many epochs.

    From inherited weights, those count as epoch 0: a training that makes nothing better of them
    gives them back.

    Args:
        job: the candidate, as ``run_transfer_trainer`` takes it.
        settings: what all evaluations of the search share; ``store`` says where the model is.
        start: ``"inherited"`` or ``"scratch"``.
        epochs: at most.
        save: a ``.keras`` file for the trained model.

    Returns:
        ``objective`` (validation, of the weights that are kept), ``best_epoch`` (0 for those that
        training began with), ``epochs``, ``seconds_train``, ``parameters_total``, ``history`` (a
        list of values for each metric, and ``seconds``, the time since the first step), and
        ``test_<metric>`` if there is a test part.

    Raises:
        InvalidValueError: there is no such start.
        ParslTLError: the model cannot be had, or not be trained.
    """
    if start not in STARTS:
        raise InvalidValueError(f"start is {start!r}; choose from {', '.join(STARTS)}")
    with releasing_memory():
        evaluation = EvaluationJob.read(job, settings)
        configure_threads(evaluation.threads)
        config = replace(evaluation.config(), epochs=epochs, inherit=None, unfreeze_after=None)
        model = _stored_model(evaluation) if start == "inherited" else evaluation.graph()
        trainer = _TimedTrainer(config, model)
        trainer.counts_start = start == "inherited"
        report = trainer.run()
        assert trainer.model is not None  # it has run
        if save is not None:
            trainer.model.save(save)
        metadata = report.metadata()
        return {
            "objective": report.objective,
            "best_epoch": report.best_epoch,
            "epochs": report.epochs,
            "seconds_train": report.seconds_train,
            "parameters_total": report.parameters_total,
            "history": {**metadata["history"], "seconds": trainer.seconds},
            **_test(trainer),
        }


def evaluate_found(job: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Tests a model as the search left it, on the samples that no search sees.

    Returns:
        ``test_<metric>`` by metric.

    Raises:
        ProblemError: the problem's data has no test part.
        ParslTLError: the model cannot be had.
    """
    with releasing_memory():
        evaluation = EvaluationJob.read(job, settings)
        configure_threads(evaluation.threads)
        trainer = BaseTrainer(evaluation.config(), _stored_model(evaluation))
        evaluation.problem.load().part("test")
        return _test(trainer)


class _TimedTrainer(BaseTrainer):
    """Notes when each epoch ended, in seconds since the first step.

    Before that, frameworks compile the model, which in a short training takes longer than all else
    and says nothing about the weights.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seconds: list[float] = []

    def callbacks(self) -> list[keras.callbacks.Callback]:
        import keras

        begun: list[float] = []

        def note_step(batch: int, logs: Mapping[str, float]) -> None:
            if not begun:
                begun.append(time.perf_counter())

        clock = keras.callbacks.LambdaCallback(
            on_train_batch_end=note_step,
            on_epoch_end=lambda epoch, logs: self.seconds.append(time.perf_counter() - begun[0]),
        )
        clock.async_safe = True  # no step waits for it
        return [*super().callbacks(), clock]


def _stored_model(job: EvaluationJob) -> Any:
    uri = job.keys.values.get("store")
    if not uri:
        raise InvalidValueError(
            "the search kept its models in no store, so that their weights cannot be had; "
            "retrain from scratch"
        )
    with open_store(uri, read_only=True) as store:
        return load_keras_model(store, job.model_id)


def _test(trainer: BaseTrainer) -> dict[str, Any]:
    """Returns the metrics on the test part, if there is one."""
    config = trainer.config
    data = config.problem.load()
    if not data.has_test or trainer.model is None:
        return {}
    compile_model(trainer.model, config, data)
    logs = judge(trainer.model, config.problem, data, config.batch_size, "test")
    return {f"test_{name}": value for name, value in logs.items()}
