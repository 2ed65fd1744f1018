"""Who took over what from whom: one row per model, in the order in which models came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parsl_tl.analysis.architecture_source import KeyedModels
from parsl_tl.errors import AnalysisError
from parsl_tl.store.prefix_index import PrefixIndex

if TYPE_CHECKING:
    from parsl_tl.analysis.population_source import Population

_NONE = -1
_COLUMNS = ("model_id", "parent", "donor", "objective", "layers_transferred", "layers_total")
_BLOCK = 2048


@dataclass(frozen=True)
class Transfers:
    """Models in the order in which they came; numbers are places in that order.

    Attributes:
        names: what models are called.
        parents: int64 [n], number of the model each was mutated from, -1 for none.
        donors: int64 [n], number of the model that layers came from, -1 for none.
        transferred: int64 [n], layers that came from the donor.
        layers: int64 [n], layers that could have come from a donor.
        eligible: bool [n], whether a donor was looked for at all.
        unit: which layers are counted.
        source: where this was read.
    """

    names: list[str]
    parents: NDArray[np.int64]
    donors: NDArray[np.int64]
    transferred: NDArray[np.int64]
    layers: NDArray[np.int64]
    eligible: NDArray[np.bool_]
    unit: str
    source: str

    def __len__(self) -> int:
        return len(self.names)

    @property
    def receivers(self) -> NDArray[np.int64]:
        """Numbers of the models that took something over, in order."""
        return np.flatnonzero(self.donors >= 0)


def from_campaign(folder: Path) -> Transfers:
    """Reads the results of a search; failed evaluations are left out.

    Models come in the order in which their evaluations ended. A donor was looked for where there
    is a parent: random candidates train from scratch.

    Args:
        folder: of a campaign, with ``results.parquet``.

    Raises:
        AnalysisError: there are no such results, or none that succeeded.
    """
    path = folder / "results.parquet"
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # Arrow's errors are both
        raise AnalysisError(f"{path} cannot be read: {_first_line(error)}") from error
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise AnalysisError(f"{path} has no columns {', '.join(missing)}: no results of a search")
    frame = frame[frame["objective"].notna()].reset_index(drop=True)
    if frame.empty:
        raise AnalysisError(f"{path} has no evaluation that succeeded; let the search run first")
    return from_results(frame, str(folder))


def from_results(frame: pd.DataFrame, source: str) -> Transfers:
    """Reads evaluations that succeeded, as ``results_frame`` gives them.

    Args:
        frame: in the order in which they ended.
        source: where they are from.
    """
    number = {name: index for index, name in enumerate(frame["model_id"])}
    transferred = frame["layers_transferred"].fillna(0).to_numpy(np.int64)
    donors = _numbers(frame["donor"], number)
    donors[transferred == 0] = _NONE
    return Transfers(
        names=frame["model_id"].tolist(),
        parents=_numbers(frame["parent"], number),
        donors=donors,
        transferred=np.where(donors >= 0, transferred, 0),
        layers=frame["layers_total"].fillna(0).to_numpy(np.int64),
        eligible=frame["parent"].notna().to_numpy(np.bool_),
        unit="layers with weights",
        source=source,
    )


def from_population(population: Population, progress: Callable[[float], None]) -> Transfers:
    """Finds each member's donor: the earlier member with the longest common prefix.

    Equal prefixes go to the latest member. Input layers count neither as transferred nor as
    layers, since all members share them.

    Args:
        population: members in the order of their numbers.
        progress: called now and then with the finished share.
    """
    models = population.models
    donors, lengths = _earlier_donors(models, progress)
    num_inputs = population.num_inputs
    transferred = np.maximum(lengths - num_inputs, 0)
    donors[transferred == 0] = _NONE
    eligible = np.ones(len(donors), np.bool_)
    eligible[:1] = False
    return Transfers(
        names=population.names,
        parents=population.parents,
        donors=donors,
        transferred=transferred,
        layers=models.sizes() - num_inputs,
        eligible=eligible,
        unit="layers, inputs not counted",
        source=population.name,
    )


def _earlier_donors(
    models: KeyedModels, progress: Callable[[float], None]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns each model's nearest earlier one and how many keys they share, int64 [n] each."""
    num = len(models.starts) - 1
    donors, lengths = np.full(num, _NONE, np.int64), np.zeros(num, np.int64)
    index = PrefixIndex()
    one = np.zeros(2, np.int64)
    for number in range(num):
        keys = models.keys[models.starts[number] : models.starts[number + 1]]
        one[1] = len(keys)
        best = index.best(one, keys)
        if best.lengths[0]:
            donors[number], lengths[number] = best.ids[0], best.lengths[0]
        index.add(np.array([number], np.uint64), one, keys)
        if number % _BLOCK == 0:
            progress(number / num)
    progress(1.0)
    return donors, lengths


def _numbers(ids: pd.Series[str], number: dict[str, int]) -> NDArray[np.int64]:
    """Returns the numbers of models; those of failed or foreign ones are -1."""
    return np.array([number.get(name, _NONE) for name in ids], np.int64)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
