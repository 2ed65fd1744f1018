"""Runs a study: campaigns by policy and seed, their winners trained fully, children twice."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.errors import CampaignError, ParslTLError
from parsl_tl.reporting.files import replace_file
from parsl_tl.search.best_candidates import run_calls
from parsl_tl.search.campaign import Campaign
from parsl_tl.search.campaign_kernel import CampaignKernel
from parsl_tl.search.journal import read_whole_lines
from parsl_tl.search.model_storage import storage_for
from parsl_tl.search.results import best_first, write_results
from parsl_tl.search.retraining import Retraining
from parsl_tl.search.scoring import evaluate_best
from parsl_tl.search.settings import with_sizes
from parsl_tl.search.shared_parameters import shared_parameters
from parsl_tl.spaces import get_space
from parsl_tl.spaces.hyperparameters import with_hyperparameters
from parsl_tl.study.children import children_to_train
from parsl_tl.study.measures import (
    beside_peers,
    best_so_far,
    compare,
    correlations,
    figures_of,
    within_budget,
)
from parsl_tl.study.peers import Budget, make_peer, run_peer
from parsl_tl.study.settings import BASELINE, Case, StudySettings
from parsl_tl.training.retrain import retrain
from parsl_tl.training.worker_start import framework_start

if TYPE_CHECKING:
    import pandas as pd
    import parsl
    from parsl.dataflow.dflow import DataFlowKernel

_SETTINGS: Final = "study.json"
_LOG: Final = "study.jsonl"
_CHILDREN: Final = "children.jsonl"
# Winners of a budget may be overtaken afterwards; these many models stay in each store.
_KEEP_BEST: Final = 20
Told = Callable[[float, str], None]


class Study:
    """The same searches with each inheritance policy, kept in a folder.

    With each case and seed the baseline, ``scratch``, searches first: its processor seconds are
    the budget of the others, which search until they have had as many evaluations and spent as
    much. Then every campaign's winner within the budget is tested as it was found, and trained
    fully from inherited weights and from scratch. At last some children of each policy are trained
    once more, from scratch, with the search's recipe.

    The folder holds ``study.json`` (what defines the results), a folder for each campaign,
    ``campaigns/CASE/POLICY/SEED``, and the lines of what has ended, ``study.jsonl`` and
    ``children.jsonl``, by which a study that was interrupted is carried on.

    Args:
        out: the study's folder.
        settings: what is compared; None takes those of the study that is there. More cases,
            policies, peers and seeds than it has are searched with in addition.

    Attributes:
        folder: of the study.
        settings: as given, or read.

    Raises:
        CampaignError: there is no study in the folder, or one with other settings, which the given
            ones do not merely add to.
    """

    def __init__(self, out: str | os.PathLike[str], settings: StudySettings | None = None) -> None:
        self.folder = Path(out).expanduser().absolute()
        path = self.folder / _SETTINGS
        known = StudySettings.read(path) if path.exists() else None
        if settings is None and known is None:
            raise CampaignError(f"{self.folder} holds no study; say what to compare")
        if settings is not None and known is not None and not settings.adds_to(known):
            raise CampaignError(
                f"the study in {self.folder} has other settings ({path.name}); give the same ones, "
                "with more cases, policies, peers or seeds if need be, leave them out, or name "
                "another folder"
            )
        given = settings or known
        assert given is not None
        self.settings: StudySettings = given
        self._rows = _read(self.folder / _LOG)
        self._children = _read(self.folder / _CHILDREN)

    def run(
        self,
        config: str | os.PathLike[str] | parsl.Config | None = None,
        *,
        max_workers: int | None = None,
        kernel: DataFlowKernel | None = None,
        told: Told = lambda share, text: None,
    ) -> pd.DataFrame:
        """Does what is not done yet, and returns ``results``.

        Args:
            config: where to run, as ``Campaign`` takes it.
            max_workers: worker processes, for a configuration that is given by name.
            kernel: a Parsl kernel to run on in place of a configuration.
            told: is told the share that is done, and what comes next.

        Raises:
            ConfigError: an unknown configuration, or one that cannot be made.
            ParslTLError: a case that cannot be searched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write = partial(Path.write_text, data=self.settings.as_json())
        replace_file(self.folder / _SETTINGS, write)
        for name, rows in ((_LOG, self._rows), (_CHILDREN, self._children)):
            # Without what a killed run has half written.
            write = partial(Path.write_text, data="".join(map(_line, rows)))
            replace_file(self.folder / name, write)
        done = set(map(_key_of, self._rows))
        left = [key for key in self._keys() if _key(*key) not in done]
        of_children = [pair for pair in self._pairs() if not self._has_children(*pair)]
        if not left and not of_children:
            return self.results
        place = CampaignKernel(config, max_workers, kernel, "all", None)
        total = len(list(self._keys()))
        start = framework_start(self.settings.cases[0].problem)
        with place.running(self.folder / "parsl", start) as running:
            for case, policy, seed in left:
                told(len(self._rows) / total, f"{case.name}, {policy}, seed {seed}")
                search = self._run_peer if policy in self.settings.peers else self._run_campaign
                self._append(self._rows, _LOG, search(case, policy, seed, running))
            for case, policy in of_children:
                told(1.0, f"children of {case.name}, {policy}, from scratch")
                self._train_children(case, policy, running)
        return self.results

    @property
    def results(self) -> pd.DataFrame:
        """One row for each campaign that has ended.

        ``case``, ``policy``, ``seed``; ``evaluations``, ``failed``, ``cpu_seconds`` (of all its
        evaluations); ``equal_evals`` and ``equal_cpu`` (the best objective at equal evaluations,
        and within the baseline's processor seconds); ``seconds_ratio`` (processor seconds until the
        baseline's final value was reached, as a share of all that the baseline spent; NaN for
        never); ``winner`` (model id); ``found_test``, ``inherited_test``, ``scratch_test`` (the
        winner's objective on the test part as found, and trained fully from either start), and
        ``inherited_valid``, ``scratch_valid`` (on the validation part).
        """
        import pandas as pd

        return pd.DataFrame(self._rows)

    @property
    def comparison(self) -> pd.DataFrame:
        """Each policy beside the baseline; see ``parsl_tl.study.measures.compare``."""
        return compare(self.results, self.settings.confidence)

    @property
    def beside_peers(self) -> pd.DataFrame:
        """Each policy beside each peer; see ``parsl_tl.study.measures.beside_peers``."""
        settings = self.settings
        return beside_peers(self.results, settings.peers, settings.confidence)

    @property
    def children(self) -> pd.DataFrame:
        """One row for each child that was trained twice; see ``measures.correlations``."""
        import pandas as pd

        key = ["case", "policy", "seed", "model_id"]
        columns = [*key, "share", "transferred", "architecture", "scratch"]
        return pd.DataFrame([row for row in self._children if "share" in row], columns=columns)

    @property
    def correlations(self) -> pd.DataFrame:
        """Whether transfer ranks architectures fairly; see ``measures.correlations``."""
        return correlations(self.children, self.settings.confidence)

    @property
    def curves(self) -> pd.DataFrame:
        """``best_so_far`` of each campaign that has ended, with ``case``, ``policy``, ``seed``."""
        import pandas as pd

        frames = [
            best_so_far(self._results_of(case, policy, seed)).assign(
                case=case.name, policy=policy, seed=seed
            )
            for case, policy, seed in self._keys()
            if self._row(case.name, policy, seed)
        ]
        first = ["case", "policy", "seed"]
        if not frames:
            return pd.DataFrame(columns=[*first, "evaluation", "cpu_seconds", "objective"])
        frame = pd.concat(frames, ignore_index=True)
        return frame[[*first, *(name for name in frame if name not in first)]]

    def _keys(self) -> Iterator[tuple[Case, str, int]]:
        """Yields what is to be run, the baseline before all that is compared with it."""
        others = self.settings.others
        for number, seed in enumerate(self.settings.seeds):
            for case in self.settings.cases:
                yield case, BASELINE, seed
                # By turns, so that none always has the machine at the same time.
                for place in range(len(others)):
                    yield case, others[(place + number) % len(others)], seed
                for peer in self.settings.peers:
                    yield case, peer, seed

    def _pairs(self) -> Iterator[tuple[Case, str]]:
        for case in self.settings.cases:
            yield from ((case, policy) for policy in self.settings.others)

    def _has_children(self, case: Case, policy: str) -> bool:
        return self.settings.children == 0 or any(
            row.get("complete") for row in self._children if _is_of(row, case, policy)
        )

    def _row(self, case: str, policy: str, seed: int) -> dict[str, Any] | None:
        found = (row for row in self._rows if _key_of(row) == (case, policy, seed))
        return next(found, None)

    def _append(self, rows: list[dict[str, Any]], name: str, row: dict[str, Any]) -> None:
        with open(self.folder / name, "a") as log:
            log.write(_line(row))
        rows.append(json.loads(_line(row)))

    def _folder_of(self, case: Case, policy: str, seed: int) -> Path:
        # A policy of one's own is a module's or a file's; no slash of it makes a folder.
        name = policy.replace("/", "_").replace(":", "-")
        return self.folder / "campaigns" / case.name / name / str(seed)

    def _results_of(self, case: Case, policy: str, seed: int) -> pd.DataFrame:
        folder = self._folder_of(case, policy, seed)
        if policy not in self.settings.peers:
            return Campaign.resume(folder).results
        import pandas as pd

        return pd.read_parquet(folder / "results.parquet")

    def _campaign(self, case: Case, policy: str, seed: int, kernel: DataFlowKernel) -> Campaign:
        folder = self._folder_of(case, policy, seed)
        if (folder / "config.json").exists():
            return Campaign.resume(folder, kernel=kernel)
        evals = case.max_evals or self.settings.max_evals
        return Campaign(
            case.problem,
            case.space,
            out=folder,
            kernel=kernel,
            problem_args=case.problem_args,
            space_args=case.space_args,
            training={**case.training, "inherit": policy},
            **{"keep_best": _KEEP_BEST, **with_sizes(case.search, evals), "seed": seed},
        )

    def _run_campaign(
        self, case: Case, policy: str, seed: int, kernel: DataFlowKernel
    ) -> dict[str, Any]:
        evals = case.max_evals or self.settings.max_evals
        baseline = self._row(case.name, BASELINE, seed)
        budget = math.inf if baseline is None else float(baseline["cpu_seconds"])
        campaign = self._campaign(case, policy, seed, kernel)
        results: pd.DataFrame = campaign.search(evals)
        if baseline is not None:
            results = self._spend(campaign, results, budget, int(evals * self.settings.most_evals))
        key = {"case": case.name, "policy": policy, "seed": seed}
        row = {**key, **self._figures(case, seed, results)}
        ranked = best_first(within_budget(results, budget))
        if ranked.empty:
            return {**row, "note": "no evaluation succeeded within the budget"}
        winner = str(ranked["model_id"].iloc[0])
        return {**row, "winner": winner, **self._judge(campaign, winner, kernel)}

    def _run_peer(self, case: Case, peer: str, seed: int, kernel: DataFlowKernel) -> dict[str, Any]:
        """Searches with another library; one that was interrupted begins again."""
        baseline = self._row(case.name, BASELINE, seed)
        assert baseline is not None  # it comes first
        campaign = Campaign.resume(self._folder_of(case, BASELINE, seed))
        own, evals = campaign.settings, case.max_evals or self.settings.max_evals
        budget = Budget(evals, baseline["cpu_seconds"], int(evals * self.settings.most_evals))
        sizes = own.population_size, own.sample_size
        space = with_hyperparameters(get_space(own.space, **own.space_args), own.hyperparameters)
        searcher = make_peer(peer, space, seed, *sizes)
        shared = shared_parameters(own, storage_for(own, campaign.folder))
        results = run_peer(searcher, shared, budget, kernel)
        folder = self._folder_of(case, peer, seed)
        folder.mkdir(parents=True, exist_ok=True)
        write_results(results, folder)
        key = {"case": case.name, "policy": peer, "seed": seed}
        row = {**key, **self._figures(case, seed, results)}
        ranked = best_first(within_budget(results, budget.seconds))
        if ranked.empty or not self.settings.retrain_epochs:
            return row
        job = {"arch_seq": list(map(int, ranked["arch_seq"].iloc[0]))}
        epochs = {"start": "scratch", "epochs": self.settings.retrain_epochs}
        outcome: dict[str, Any] = {}
        run_calls(kernel, {0: (retrain, (job, shared), epochs)}, lambda _, got: outcome.update(got))
        sign, test = _test_metric(campaign)
        row["scratch_valid"] = _value(outcome.get("objective"))
        row["scratch_test"] = sign * _value(outcome.get(test))
        return {**row, **({"note": outcome["error"]} if "error" in outcome else {})}

    def _figures(self, case: Case, seed: int, results: pd.DataFrame) -> dict[str, Any]:
        evals = case.max_evals or self.settings.max_evals
        return figures_of(results, evals, self._row(case.name, BASELINE, seed))

    def _spend(
        self, campaign: Campaign, results: pd.DataFrame, budget: float, most: int
    ) -> pd.DataFrame:
        """Goes on with a search until it has spent its processor seconds."""
        while len(results) < most:
            spent = float(best_so_far(results)["cpu_seconds"].iloc[-1])
            if spent >= budget or spent <= 0:
                break
            more = math.ceil((budget - spent) / (spent / len(results)))
            before = len(results)
            results = campaign.search(min(most, before + more))
            if len(results) == before:  # the space has no more architectures
                break
        return results

    def _judge(self, campaign: Campaign, winner: str, kernel: DataFlowKernel) -> dict[str, Any]:
        """Tests the winner as it was found, and trained fully from either start."""
        judged: dict[str, Any] = {}
        sign, test = _test_metric(campaign)
        try:
            found = evaluate_best(campaign.folder, 1, kernel=kernel, models=[winner])
            judged["found_test"] = sign * _value(found.iloc[0].get(test))
        except ParslTLError as error:  # no test part, or nothing stored
            judged["note"] = str(error)
        epochs = self.settings.retrain_epochs
        if epochs:
            training = Retraining(campaign.folder, top=1, epochs=epochs, models=[winner])
            for row in training.run(kernel=kernel).to_dict("records"):
                judged[f"{row['start']}_valid"] = _value(row.get("objective"))
                judged[f"{row['start']}_test"] = sign * _value(row.get(test))
                if isinstance(row.get("error"), str):
                    judged["note"] = row["error"]
        return judged

    def _train_children(self, case: Case, policy: str, kernel: DataFlowKernel) -> None:
        """Trains children of a policy from scratch, with the recipe of the search."""
        folders = [self._folder_of(case, policy, seed) for seed in self.settings.seeds]
        calls, about = children_to_train(folders, self.settings.children)
        known = {row.get("model_id") for row in self._children if _is_of(row, case, policy)}

        def keep(model_id: str, outcome: Mapping[str, Any]) -> None:
            objective = outcome.get("objective")
            scratch = objective if isinstance(objective, float) else math.nan
            key = {"case": case.name, "policy": policy, "model_id": model_id}
            row = {**key, **about[model_id], "scratch": scratch}
            self._append(self._children, _CHILDREN, row)

        run_calls(kernel, {name: calls[name] for name in calls if name not in known}, keep)
        end = {"case": case.name, "policy": policy, "complete": True}
        self._append(self._children, _CHILDREN, end)


def _read(path: Path) -> list[dict[str, Any]]:
    return [dict(row) for row in read_whole_lines(path)[0]] if path.exists() else []


def _test_metric(campaign: Campaign) -> tuple[int, str]:
    """Returns the sign of a campaign's objective, and its name on the test part."""
    objective = campaign.settings.training.get("objective") or campaign.problem.objective
    sign, name = (-1, objective[1:]) if objective.startswith("-") else (1, objective)
    return sign, f"test_{name.removeprefix('val_')}"


def _line(row: Mapping[str, Any]) -> str:
    """Returns a line of a log; JSON knows no NaN and no infinity."""
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    return json.dumps(plain) + "\n"


def _key(case: Case, policy: str, seed: int) -> tuple[str, str, int]:
    return case.name, policy, seed


def _key_of(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["case"], row["policy"], row["seed"]


def _is_of(row: Mapping[str, Any], case: Case, policy: str) -> bool:
    return (row["case"], row["policy"]) == (case.name, policy)


def _value(value: Any) -> float:
    return math.nan if value is None else float(value)
