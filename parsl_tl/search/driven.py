"""A campaign's search on DeepHyper, which takes seconds to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.search.evaluator import ParslEvaluator
from parsl_tl.search.regularized_evolution import ExpiringRegularizedEvolution

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

    from parsl_tl.search.admission import Admission
    from parsl_tl.search.campaign_kernel import CampaignKernel
    from parsl_tl.search.journal import Journal
    from parsl_tl.search.kept_figures import KeptFigures
    from parsl_tl.search.limits import SearchLimits
    from parsl_tl.search.recorder import Recorder
    from parsl_tl.search.retirement import Retirement
    from parsl_tl.search.settings import CampaignSettings
    from parsl_tl.spaces import SearchSpace


def restored_search(
    settings: CampaignSettings,
    folder: Path,
    space: SearchSpace,
    admission: Admission,
    costs: Callable[[Sequence[int]], Sequence[float]],
    figures: KeptFigures,
    journal: Journal,
    retirement: Retirement,
) -> ExpiringRegularizedEvolution:
    """Makes a campaign's search as it was when the last line of its journal was written.

    Args:
        settings: of the campaign.
        folder: of the campaign.
        space: what is searched.
        admission: which architectures are evaluated.
        costs: gives what is minimized beside the objective.
        figures: of what has finished.
        journal: of the campaign.
        retirement: is told who is in the population.
    """
    search = ExpiringRegularizedEvolution(
        space,
        population_size=settings.population_size,
        sample_size=settings.sample_size,
        beta=settings.beta,
        seed=settings.seed,
        model_id=settings.model_id,
        on_expire=retirement.expire,
        allow_repeats=settings.allow_repeats,
        from_scratch=settings.from_scratch,
        random_transfer=settings.random_transfer,
        identify=admission.identity,
        refuse=admission.refuse,
        costs=costs,
        figures=figures.take,
        worth=figures.worth_by(settings.rank_by),
        log_dir=str(folder),
        keep_history=False,  # the journal does
    )
    rows = journal.finished
    search.restore(
        [{**row["config"], "objective": row["objective"]} for row in rows],
        journal.unfinished,
    )
    retirement.restore(rows, [member.model_id for member in search.population])
    return search


def evaluate(
    search: ExpiringRegularizedEvolution,
    number: int,
    limits: SearchLimits,
    recorder: Recorder,
    place: CampaignKernel,
    kernel: DataFlowKernel,
    run_function: Callable[..., Any],
    shared: dict[str, Any],
) -> None:
    """Runs a search.

    Args:
        search: what is asked for.
        number: of evaluations.
        limits: of the search.
        recorder: of what comes back.
        place: which executors of the kernel evaluate.
        kernel: that is loaded.
        run_function: evaluates.
        shared: arguments of all evaluations.
    """
    evaluator = ParslEvaluator(
        run_function,
        callbacks=[recorder],
        run_function_kwargs=shared,
        evaluation_timeout=limits.evaluation_timeout,
        max_losses=limits.max_losses,
        kernel=kernel,
        executors=place.executors,
        num_workers=place.num_workers,
    )
    # DeepHyper's limit counts what is submitted; strict keeps it from going over.
    evaluator.num_workers = min(evaluator.num_workers, number)
    try:
        search.search(evaluator, number, timeout=limits.seconds_left(), max_evals_strict=True)
    except BaseException:
        evaluator.abandon()
        raise
    finally:
        recorder.act()
