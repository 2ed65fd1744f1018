"""Campaigns: a search with a folder that survives whatever happens to the search."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from parsl_tl.cluster.request import cluster_of
from parsl_tl.errors import CampaignError, ImpossibleArchitectureError, InvalidValueError
from parsl_tl.events.process_facts import FOLDER
from parsl_tl.imports import add_import_folders, import_folders
from parsl_tl.problems import Problem, get_problem
from parsl_tl.problems.node_cache import remove_node_folder
from parsl_tl.search.admission import MEASURES, Admission, check_measures
from parsl_tl.search.callbacks import SearchCallback, SearchCallbacks, SearchInfo
from parsl_tl.search.campaign_kernel import CampaignKernel
from parsl_tl.search.campaign_log import campaign_log
from parsl_tl.search.campaign_record import RECORDING_MODULE, check_recording, recorded_in
from parsl_tl.search.campaign_results import CampaignResults
from parsl_tl.search.evaluated import NOTHING_LEFT
from parsl_tl.search.given_settings import new_settings, resumed_settings
from parsl_tl.search.journal import Journal
from parsl_tl.search.kept_figures import KeptFigures
from parsl_tl.search.limits import SearchLimits
from parsl_tl.search.model_storage import storage_for
from parsl_tl.search.notebook import ShownInNotebooks
from parsl_tl.search.notebook_progress import progress_here
from parsl_tl.search.progress import SearchProgress
from parsl_tl.search.recorder import Recorder
from parsl_tl.search.restarts import with_new_executors
from parsl_tl.search.results_table import GivesTables
from parsl_tl.search.retirement import Retirement
from parsl_tl.search.settings import (
    CampaignSettings,
    check_sizes,
)
from parsl_tl.search.shared_parameters import shared_parameters
from parsl_tl.search.start import NewFolder, check_problem_data, check_training
from parsl_tl.search.store_uri import check_identities
from parsl_tl.search.watching import prepare_to_be_watched
from parsl_tl.spaces.hyperparameters import with_hyperparameters
from parsl_tl.spaces.registry import arguments_for, get_space
from parsl_tl.store.uri import is_remote
from parsl_tl.training import run_transfer_trainer
from parsl_tl.training.inheritance import split_policy
from parsl_tl.training.worker_start import worker_start

if TYPE_CHECKING:
    import pandas as pd
    import parsl
    from parsl.dataflow.dflow import DataFlowKernel


logger = logging.getLogger(__name__)

# How long to wait, at the end, for the next model that workers store in the background.
_PENDING_DEADLINE = 60.0


class Campaign(ShownInNotebooks, GivesTables):
    """A transfer-learning architecture search, and the folder that it lives in.

    The folder holds ``config.json`` (what defines the results), ``journal.jsonl`` (what happened,
    written as it does), ``results.parquet`` and ``results.csv``, ``curves.parquet``
    (all metrics of every epoch), ``machine.json`` (versions, and the driver's machine),
    ``workers/`` (what each worker is at), ``campaign.log``, Parsl's logs in ``parsl/``, and the
    model store in ``store/`` unless another one is named; with ``transfer="hdf5"`` or
    ``"safetensors"``, the models' files in ``models/`` instead.
    """

    _new_folder: NewFolder | None = None

    def __init__(
        self,
        problem: str,
        space: str,
        config: str | os.PathLike[str] | parsl.Config | None = None,
        *,
        store: str = "embedded:",
        out: str | os.PathLike[str],
        max_workers: int | None = None,
        check_data: bool = True,
        kernel: DataFlowKernel | None = None,
        executors: str | Sequence[str] = "all",
        num_workers: int | None = None,
        callbacks: Sequence[SearchCallback] = (),
        trace: bool = False,
        **settings: Any,
    ) -> None:
        """Starts a campaign in a new or empty folder.

        Args:
            problem: a name of ``parsl_tl.problems.list_problems``, or ``module:attribute`` or
                ``file.py:attribute``.
            space: a name of ``parsl_tl.spaces.list_spaces``, or one of these.
            config: the Parsl configuration, or its name or file. When None, the kernel that is
                loaded, else ``"local"``.
            store: URI of the model store; ``embedded:`` is a folder of the campaign's. Servers
                are named by connection strings, address files or ``MODEL_SERVERS``; ``cluster`` or
                ``cluster:N`` has servers on the nodes of the configuration.
            out: the campaign's folder.
            max_workers: worker processes, for a configuration that is given by name.
            check_data: load the data of a problem of your own once, in a process of its own, to
                tell now what is wrong with it; False where only the workers have it.
            kernel: a Parsl kernel to run on in place of a configuration; it stays loaded.
            executors: labels of the executors for evaluations; see ``ParslEvaluator``.
            num_workers: evaluations at a time; by default as many as these have workers.
            callbacks: are told of evaluations as they end, such as those of ``parsl_tl.tracking``.
            trace: record what driver, workers and stores do in ``events/``, for `parsl-tl trace`.
            **settings: further fields of ``CampaignSettings``, and ``inherit``: what becomes of
                inherited layers, such as ``"thaw:2"`` (see ``parsl_tl.training.inheritance``).

        Raises:
            CampaignError: the folder holds something already, or cannot be used.
            ConfigError: an unknown configuration, or one that cannot be made.
            StoreUnreachableError: a server of the store does not answer.
            ParslTLError: an unknown problem or space, or arguments that they do not take.
        """
        folder = Path(out).expanduser().absolute()
        values = new_settings(store, {"problem": problem, "space": space, **settings})
        place = CampaignKernel(config, max_workers, kernel, executors, num_workers)
        values = replace(values, store=place.sized(values.store, folder))
        self._set_up(folder, values, place, callbacks, trace)
        check_training(values, self._problem, self._space)
        try:
            self._new_folder = NewFolder(folder)
            runs_on = place.all_executors(folder / "parsl")
            if check_data:
                check_problem_data(self.settings, self._problem, runs_on)
            if self._cluster is None and (is_remote(values.store) or not values.has_store):
                self._check_storage(may_be_away=False)
            folder.mkdir(parents=True, exist_ok=True)
            self.settings.write(folder / "config.json")
        except OSError as error:
            raise CampaignError(f"{folder} cannot be used: {error.strerror}") from error

    @classmethod
    def resume(
        cls,
        out: str | os.PathLike[str],
        config: str | os.PathLike[str] | parsl.Config | None = None,
        *,
        max_workers: int | None = None,
        kernel: DataFlowKernel | None = None,
        executors: str | Sequence[str] = "all",
        num_workers: int | None = None,
        callbacks: Sequence[SearchCallback] = (),
        store: str | None = None,
        expected: Mapping[str, Any] | None = None,
        trace: bool = False,
    ) -> Self:
        """Opens a campaign to carry it on, or to look at its results.

        Args:
            out: the campaign's folder.
            config: where to run from now on; see the constructor, as for the next four.
            max_workers: worker processes, for a configuration that is given by name.
            kernel: a Parsl kernel to run on in place of a configuration.
            executors: labels of the executors for evaluations.
            num_workers: evaluations at a time.
            callbacks: are told of evaluations as they end.
            store: where the servers of the campaign's store are now, if they have moved: the same
                ones, in the same order. Models are known by their ids wherever they are.
            expected: settings that must be the campaign's own; None values are passed over.
            trace: record from now on, whether it was recorded before or not.

        Raises:
            CampaignError: there is no campaign in the folder, or its settings are others.
        """
        folder = Path(out).expanduser().absolute()
        settings = resumed_settings(folder, expected or {}, store)
        campaign = cls.__new__(cls)
        place = CampaignKernel(config, max_workers, kernel, executors, num_workers)
        campaign._set_up(folder, settings, place, callbacks, trace)
        return campaign

    def _set_up(
        self,
        folder: Path,
        settings: CampaignSettings,
        place: CampaignKernel,
        callbacks: Sequence[SearchCallback],
        trace: bool,
    ) -> None:
        if trace:
            check_recording()
        self._trace = trace
        self.folder = folder
        self.settings = settings
        self._callbacks = list(callbacks)
        self._place = place
        # Both now, so that a wrong name is refused before anything is started.
        add_import_folders(settings.import_folders)
        self._problem = problem = get_problem(settings.problem, **settings.problem_args)
        space_args = arguments_for(settings.space, settings.space_args, problem.input_shape)
        self._space = with_hyperparameters(
            get_space(settings.space, **space_args), settings.hyperparameters
        )
        self._admission = Admission(self._space, problem, settings.limits)
        self._minimize = check_measures(settings.minimize)
        first = [0] * len(self._space.choices())
        with contextlib.suppress(ImpossibleArchitectureError):  # others are possible
            self._space.build(first, problem.input_shape, problem.output_heads())
        self._storage = storage_for(settings, folder)
        self._cluster = cluster_of(settings.store, folder)
        self._results = CampaignResults(folder, self._space, self._minimize)
        policy, _ = split_policy(settings.training.get("inherit") or "freeze")
        found = import_folders([settings.problem, settings.space, settings.transfer, policy])
        merged = list(dict.fromkeys([*settings.import_folders, *found]))
        self.settings = replace(settings, import_folders=merged, space_args=space_args)

    @property
    def problem(self) -> Problem:
        """The campaign's problem."""
        return self._problem

    @property
    def store_uri(self) -> str:
        """URI of the campaign's model store.

        Raises:
            CampaignError: its models are with another transfer method.
        """
        return self.settings.store_uri(self.folder)

    @property
    def results(self) -> pd.DataFrame:
        """Finished evaluations so far, one row each; see ``results_frame`` for the columns."""
        return self._results.frame()

    @property
    def curves(self) -> pd.DataFrame:
        """All metrics of every epoch so far; see ``curves_frame`` for the columns."""
        return self._results.curves()

    def summary(self) -> str:
        """Says in one line how far the campaign is, and what it missed of its store."""
        return self._results.summary()

    def search(
        self,
        max_evals: int | None = None,
        *,
        max_seconds: float | None = None,
        evaluation_timeout: float | None = None,
        max_losses: int = 5,
        progress: SearchProgress | None = None,
    ) -> pd.DataFrame:
        """Searches until ``max_evals`` evaluations are finished, earlier ones included.

        Args:
            max_evals: evaluations in all; when None, as many as were asked for before.
            max_seconds: stop after this time; what then runs is evaluated when resumed.
            evaluation_timeout: seconds for one evaluation.
            max_losses: how often an evaluation may be lost with its worker, block or executor
                while no other one comes to its end.
            progress: a display; by default there is one in a notebook, and none elsewhere.

        Returns:
            The results, one row per finished evaluation.

        Raises:
            CampaignError: another process runs this campaign, or its journal is damaged.
            InfrastructureError: nothing runs any more where the evaluations ran, or the folder
                cannot be written. What is not finished is evaluated when resumed.
            StoreError: the store cannot be opened. Servers that go away later end no search: it
                goes on without transfer, and ``summary`` tells what was missed.
        """
        max_evals = self.settings.max_evals if max_evals is None else max_evals
        if max_evals is None:
            raise InvalidValueError("max_evals is needed: nobody said it before")
        limits = SearchLimits(
            max_evals=max_evals,
            max_seconds=max_seconds,
            evaluation_timeout=evaluation_timeout,
            max_losses=max_losses,
        )
        self._replace_settings(max_evals=max_evals)
        try:
            if progress is not None:
                return self._search(limits, progress)
            with progress_here(max_evals) as shown:
                return self._search(limits, shown)
        except Exception:
            if self._new_folder is not None:
                self._new_folder.remove_unless_started()
            raise

    def _search(self, limits: SearchLimits, progress: SearchProgress) -> pd.DataFrame:
        search = SearchInfo(self.folder, self.settings, self._space)
        callbacks = SearchCallbacks(self._callbacks, search, progress.note)
        with (
            contextlib.closing(Journal(self.folder / "journal.jsonl")) as journal,
            campaign_log(self.folder / "campaign.log", journal.note),
            recorded_in(self.folder, journal.note, spans=self._trace),
        ):
            try:
                if self._cluster is None:
                    self._check_storage(may_be_away=journal.num_finished > 0)
                self.settings.write(self.folder / "config.json")  # with what is new in it
                prepare_to_be_watched(self.folder)
                callbacks.begin(lambda: journal.finished)
                with Retirement(self._storage, self.settings.keep_best) as retirement:
                    with_new_executors(
                        lambda: self._run(journal, retirement, limits, progress, callbacks),
                        journal,
                        progress,
                        possible=self._place.can_start_again,
                    )
            finally:
                remove_node_folder(self.settings.uid)
                results = self._results.write()
                callbacks.end()
        return results

    def _check_storage(self, *, may_be_away: bool) -> None:
        found = self._storage.check(may_be_away=may_be_away)
        check_identities(self.settings.store_ids, found)
        self._replace_settings(store_ids=found or self.settings.store_ids)

    def _run(
        self,
        journal: Journal,
        retirement: Retirement,
        limits: SearchLimits,
        progress: SearchProgress,
        callbacks: SearchCallbacks,
    ) -> None:
        figures = KeptFigures([name for name in self._minimize if name not in MEASURES])
        rows = journal.finished
        for row in rows:
            figures.note(row)
        for row in rows[progress.done :]:  # when executors are started anew, it knows them
            describe = partial(self._results.describe, row["config"])
            progress.finished(row["objective"], row["metadata"], earlier=True, describe=describe)
        check_sizes(self.settings.population_size, self.settings.sample_size)
        shared = shared_parameters(self.settings, self._storage, self.folder)
        with contextlib.ExitStack() as stack:
            kernel = None
            if len(rows) < limits.max_evals:
                modules = [RECORDING_MODULE] if self._trace else []
                trace = self.folder / FOLDER if self._trace else None
                start = worker_start(self._problem, shared, modules)
                kernel = stack.enter_context(
                    self._place.running(self.folder / "parsl", start, self._cluster, trace)
                )
                if self._cluster is not None:
                    self._check_storage(may_be_away=False)
                    self.settings.write(self.folder / "config.json")
            elif self._cluster is not None:
                return  # its store was put in order before the servers ended
            # DeepHyper takes a second to be imported, while the workers start.
            from parsl_tl.search.driven import evaluate, restored_search

            search = restored_search(
                *(self.settings, self.folder, self._space, self._admission),
                *(self._costs, figures, journal, retirement),
            )
            remaining = max(0, limits.max_evals - len(rows))
            left_over = search.num_left(remaining)
            if left_over < remaining:
                progress.total, remaining = len(rows) + left_over, left_over
                progress.note(NOTHING_LEFT.format(space=self.settings.space, total=progress.total))
            del rows
            logger.info("campaign in %s: %d evaluations to do", self.folder, remaining)
            if remaining <= 0 or kernel is None:
                return
            recorder = Recorder(journal, retirement, progress, self._results, figures, callbacks)
            evaluate(
                *(search, remaining, limits, recorder, self._place, kernel),
                *(run_transfer_trainer, shared),
            )
            # Workers end with the configuration, and what they are still storing with them.
            missing = retirement.wait_for_pending(_PENDING_DEADLINE)
            progress.store_failures.note_not_stored(missing, "they did not get to the store")
            if self._cluster is None:  # whose servers end with the workers
                stack.close()
            # DeepHyper does not tell the search of what came in last.
            retirement.keep_newest(self.settings.population_size)
            if self._admission.refused:
                progress.note(self._admission.summary())
            left = retirement.finish()
            progress.store_failures.note_not_retired(len(left), next(iter(left.values()), ""))

    def _costs(self, arch_seq: Sequence[int]) -> tuple[int, ...]:
        sizes = [name for name in self._minimize if name in MEASURES]
        return self._admission.measure(arch_seq, sizes) if sizes else ()

    def _replace_settings(self, **values: Any) -> None:
        self.settings = replace(self.settings, **values)
