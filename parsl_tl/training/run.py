"""The run functions: one evaluation from a plain mapping to a plain mapping.

They are what a search calls, in this process or in a worker far away. They never raise for an
evaluation that fails, because one bad candidate must not end a search.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from parsl_tl.errors import InfrastructureError
from parsl_tl.events import annotate, span
from parsl_tl.lazy_imports import load_lazily
from parsl_tl.store.model_id import format_model_id
from parsl_tl.training.backends import forgetting_gradients
from parsl_tl.training.base_trainer import BaseTrainer
from parsl_tl.training.job import EvaluationJob
from parsl_tl.training.prediction_time import measure_milliseconds
from parsl_tl.training.report import TrainingReport, failure_reason
from parsl_tl.training.runtime import configure_threads, release_memory, visible_gpu
from parsl_tl.training.transfer_trainer import TransferTrainer

logger = logging.getLogger(__name__)

_MakeTrainer: TypeAlias = Callable[[EvaluationJob, TrainingReport], BaseTrainer]

# Keras keeps seeds and names in global state, so a process does one evaluation at a time.
_one_at_a_time = threading.Lock()


def run_base_trainer(job: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """Evaluates a candidate from scratch; nothing is transferred and nothing stored.

    Args and returns are those of ``run_transfer_trainer``.
    """
    return _run(job, settings, _make_base_trainer)


def run_transfer_trainer(job: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """Evaluates a candidate on top of what earlier models learned.

    Args:
        job: flat, or with these keys under ``"parameters"``, or a DeepHyper ``RunningJob``:

            - ``problem``, ``problem_args``: name of a problem, and its arguments.
            - ``space``, ``space_args``: name of a search space, and its arguments.
            - ``arch_seq``: one index per choice; or ``choices``, indices by the choices' names.
              Without both, each choice's index stands under the choice's own name, whatever else
              that name could mean.
            - ``model_id``, ``parent``: unsigned 64-bit ids of the candidate (random, if there is
              none) and of its parent.
            - ``seed``: of the search; every evaluation derives its own from it and ``arch_seq``,
              so that neither ids nor the order of evaluations matter. On a CPU, the same job on
              the same store gives the same objective; GPUs may add numbers in another order.
            - ``hyperparameters``: what is chosen beside the architecture; see
              ``parsl_tl.spaces.hyperparameters``.
            - ``training``: a mapping with ``epochs``, ``batch_size``, ``learning_rate``,
              ``optimizer`` and the other ``TRAINING_KEYS`` of ``parsl_tl.training.namespaces``,
              instead of the problem's; see ``TrainingConfig``. They may stand beside the
              other keys, too, where no choice of the space is called as they are.
            - ``transfer_method``, ``store``, ``transfer_args``: ``"none"`` or ``"store"``, the
              store's URI, further arguments of the method. A store alone means ``"store"``.
            - ``store_id``: identity of the store, or of the folder of a method that keeps files, as
              the search sees it; this process must see the same.
            - ``overlap_store``: True stores the model in the background; see ``StoreTransfer``.
            - ``donors``: whose weights may be taken over; see ``TrainingConfig``.
            - ``from_scratch``: True transfers nothing; the model is stored all the same.
            - ``threads``: cores this process may use; heeded by its first evaluation.
            - ``node_cache``: what the workers of a node share: ``run``, a name for the folder, and
              ``prefix_bytes``, most bytes of outputs of frozen layers; ``data_bytes``, the least of
              a data set that is mapped by all. 0 shares none.
            - ``time_prediction``: True also reports the ``milliseconds`` of predicting a batch.
            - ``notes_folder``: where this process notes what it is at; see
              ``parsl_tl.training.worker_note``.
            - ``attributes``: kept with the stored model.
            - ``job``: its number in the search, which is not looked at.
            - ``import_folders``: where modules are that are not installed.

            Any other key is refused; see ``parsl_tl.training.namespaces``.
        **settings: the same keys, for what all evaluations of a search share.

    Returns:
        ``{"objective": float, "metadata": {...}}``; the metadata are the fields of
        ``TrainingReport``. For a failed evaluation the objective is ``"F_<reason>"`` and
        ``metadata["error"]`` says more.

    Raises:
        StoreElsewhereError: under the store's path or address, this process sees another store, or
            none. That is nothing that the candidate did.
    """
    return _run(job, settings, _make_transfer_trainer)


def _make_base_trainer(job: EvaluationJob, report: TrainingReport) -> BaseTrainer:
    with report.timed("build"):
        graph = job.graph()
    with report.parts.part("configure"):
        return BaseTrainer(job.config(), graph, report=report)


def _make_transfer_trainer(job: EvaluationJob, report: TrainingReport) -> BaseTrainer:
    with report.timed("build"):
        graph = job.graph()
    with report.parts.part("configure"):
        return TransferTrainer(job.config(), graph, job.transfer_method(), report=report)


def _run(
    job: Mapping[str, Any], settings: Mapping[str, Any], make_trainer: _MakeTrainer
) -> dict[str, Any]:
    load_lazily()
    with _one_at_a_time:
        report = TrainingReport()
        with span("evaluate", begin_ns=report.started_ns) as whole:
            try:
                with forgetting_gradients():
                    return _evaluate(job, settings, make_trainer, report)
            finally:
                with report.parts.part("release"):
                    release_memory()
                whole.ends_at(report.parts.end_ns)


def _evaluate(
    given: Mapping[str, Any],
    settings: Mapping[str, Any],
    make_trainer: _MakeTrainer,
    report: TrainingReport,
) -> dict[str, Any]:
    start, cpu_start = time.perf_counter(), time.process_time()

    def end() -> None:
        report.seconds_total = time.perf_counter() - start
        report.seconds_cpu = time.process_time() - cpu_start
        _annotate(report)

    try:
        with report.parts.part("read"):
            job = EvaluationJob.read(given, settings)
            job.check_store()
            report.model_id, report.parent = job.model_id, job.parent
            report.begin_notes(job.keys.values.get("notes_folder"), job.keys.values.get("job"))
            known = job.problem.look_up(job.space, job.arch_seq)
        if known is not None:
            report.looked_up(known)
            end()
            return report.output()
        with report.timed("start"):
            configure_threads(job.threads)
        cpu_start = time.process_time()  # starting a worker is no evaluation's work
        report.gpu = visible_gpu()
        trainer = make_trainer(job, report)
        trainer.run()
        if job.keys.values.get("time_prediction") and trainer.model is not None:
            with report.parts.part("predict"):
                milliseconds = measure_milliseconds(trainer.model, trainer.config.batch_size)
            report.others["milliseconds"] = round(milliseconds, 4)
        end()
        return report.output()
    except InfrastructureError:  # no fault of the candidate's
        raise
    except Exception as error:
        logger.warning("evaluation failed", exc_info=True)
        annotate(failed=failure_reason(error))
        end()
        return report.failure(error)


def _annotate(report: TrainingReport) -> None:
    """Says what the evaluation came to, where somebody records."""
    ids = {"model_id": report.model_id, "parent": report.parent, "donor": report.donor}
    annotate(
        objective=report.objective,
        epochs=report.epochs,
        layers=report.layers,
        layers_transferred=report.layers_transferred,
        **{name: None if one is None else format_model_id(one) for name, one in ids.items()},
    )
