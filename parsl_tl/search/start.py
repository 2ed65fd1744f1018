"""What is looked at before a campaign starts, so that a mistake is reported before workers are."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import CampaignError, ImpossibleArchitectureError
from parsl_tl.problems import Digits, Problem, Synthetic
from parsl_tl.problems.check import check_data
from parsl_tl.search.shared_parameters import KNOWN_TRAINING
from parsl_tl.spaces import SearchSpace
from parsl_tl.suggestions import check_names
from parsl_tl.training import TrainingConfig
from parsl_tl.training.job import read_training
from parsl_tl.training.namespaces import TRAINING_KEYS

if TYPE_CHECKING:
    from parsl.executors.base import ParslExecutor

    from parsl_tl.search.settings import CampaignSettings


_ALWAYS_THERE = (Digits, Synthetic)


def check_training(settings: CampaignSettings, problem: Problem, space: SearchSpace) -> None:
    """Refuses a recipe that no candidate can be trained by, or that none would follow.

    Raises:
        CampaignError: an unknown key, with the nearest known one; a key that each architecture has
            a value of its own for.
        InvalidValueError: a value that can never work.
    """
    check_names(settings.training, KNOWN_TRAINING, "training", CampaignError)
    recipe = {name: value for name, value in settings.training.items() if name in TRAINING_KEYS}
    TrainingConfig.for_problem(problem, **read_training(recipe))
    check_names(settings.hyperparameters, TRAINING_KEYS, "hyperparameters", CampaignError)
    for name, values in settings.hyperparameters.items():
        if name in settings.training:
            raise CampaignError(
                f"{name} is set to {settings.training[name]!r} for all candidates, and is to be "
                "chosen; leave one of them out"
            )
        for value in values:
            TrainingConfig.for_problem(problem, **read_training({**recipe, name: value}))
    said: dict[str, Any] = {}
    if recipe:
        with contextlib.suppress(ImpossibleArchitectureError):  # others are possible
            said = space.training([0] * len(space.choices()))
    for name in recipe.keys() & said.keys():
        raise CampaignError(
            f"{name} is set to {recipe[name]!r} for all candidates, but space {space.name!r} has "
            f"one with each architecture, such as {said[name]!r}; leave it out"
        )


def check_problem_data(
    settings: CampaignSettings, problem: Problem, executors: Iterable[ParslExecutor]
) -> None:
    """Loads the data where the workers would load it alike, unless it is always there.

    Raises:
        ProblemError: it cannot be loaded, or does not fit.
    """
    is_table = type(problem).look_up is not Problem.look_up  # which is opened as it is made
    if is_table or isinstance(problem, _ALWAYS_THERE):
        return
    if run_here(executors):
        problem.load()
    else:
        check_data(settings.problem, settings.problem_args, settings.import_folders)


def run_here(executors: Iterable[ParslExecutor]) -> bool:
    """Whether all workers are threads of this process."""
    from parsl.executors import ThreadPoolExecutor

    return all(isinstance(executor, ThreadPoolExecutor) for executor in executors)


class NewFolder:
    """A campaign's folder that goes again if nothing was ever evaluated in it.

    Args:
        path: of the folder; it may exist, and must then be empty.

    Raises:
        CampaignError: it holds something.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._existed = path.exists()
        if self._existed and any(path.iterdir()):
            raise CampaignError(
                f"{path} is not empty; carry on with --resume (Campaign.resume), "
                "or name another folder"
            )

    def remove_unless_started(self) -> None:
        """Removes what a start that failed has left."""
        journal = self._path / "journal.jsonl"
        if journal.exists() and journal.stat().st_size:
            return
        for path in self._path.iterdir() if self._path.is_dir() else []:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if not self._existed and self._path.is_dir():
            shutil.rmtree(self._path, ignore_errors=True)
