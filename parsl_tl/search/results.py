"""A campaign's results as a table, and as files that pandas and polars open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.search.candidate import arch_seq_of
from parsl_tl.search.kept_figures import LOSS, kept_metrics
from parsl_tl.store.model_id import format_model_id

if TYPE_CHECKING:
    import pandas as pd

    from parsl_tl.spaces import SearchSpace

_FIRST = ["job", "model_id", "parent", "donor", "objective", "failure", "arch_seq"]
_LEFT_OUT = ("history", "steps", "traceback")
_CURVES = ["job", "model_id", "epoch", "metric", "value"]


def results_frame(
    rows: Iterable[Mapping[str, Any]], choices: Sequence[str], space: SearchSpace | None = None
) -> pd.DataFrame:
    """Returns one row per finished evaluation, in the order they finished.

    Columns: ``job``; ``model_id``, ``parent``, ``donor`` (16 hex digits); ``objective`` (NaN for
    a failure); ``failure`` (its reason); ``arch_seq`` (list of indices); ``architecture`` (what it
    is, in a line); then everything the evaluation reported about itself, its metrics in the epoch
    whose weights were kept, and ``choice_<name>`` (what was chosen) for each choice.

    Args:
        rows: finished events of the journal.
        choices: names of the space's choices, in order.
        space: tells what the indices mean; without it, there are no columns of that.
    """
    import pandas as pd

    records = []
    for row in rows:
        config, objective = row["config"], row["objective"]
        failed = isinstance(objective, str)
        record = {name: value for name, value in row["metadata"].items() if name not in _LEFT_OUT}
        for name, value in kept_metrics(row["metadata"]).items():
            record.setdefault(name, value)
        arch_seq = arch_seq_of(config, choices)
        record.update(
            job=config["job"],
            model_id=format_model_id(config["model_id"]),
            parent=_hex(config["parent"]),
            donor=_hex(record.get("donor")),
            objective=float("nan") if failed else float(objective),
            failure=objective.removeprefix("F_") if failed else None,
            arch_seq=arch_seq,
        )
        if space is not None:
            record["architecture"] = space.describe(arch_seq)
            labels = zip(choices, space.labels(arch_seq), strict=True)
            record.update({f"choice_{name}": str(label) for name, label in labels})
        records.append(record)
    frame = pd.DataFrame.from_records(records)
    if frame.empty:
        return pd.DataFrame(columns=_FIRST).astype({"objective": float})
    first = _FIRST + (["architecture"] if space is not None else [])
    chosen = [name for name in frame.columns if name.startswith("choice_")]
    rest = [name for name in frame.columns if name not in first and name not in chosen]
    return frame[first + rest + chosen]


def best_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the evaluations that succeeded, as a search ranks them.

    The highest objective comes first; of equal ones, the lowest validation loss of the weights that
    were kept; of those, what finished first.

    Args:
        frame: what ``results_frame`` gives.
    """
    good = frame[frame["objective"].notna()]
    by = ["objective", *([LOSS] if LOSS in frame else [])]
    return good.sort_values(by, ascending=[False, True][: len(by)], kind="stable")


def curves_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Returns one row for each metric of each epoch of each evaluation, failed ones included.

    Columns: ``job``; ``model_id`` (16 hex digits); ``epoch`` (from 1; 0 where nothing was trained);
    ``metric`` (as Keras names it, ``val_`` for validation); ``value`` (NaN if it was not finite).

    Args:
        rows: finished events of the journal; those of older campaigns have no curves.
    """
    import pandas as pd

    records = [
        (
            int(row["config"]["job"]),
            format_model_id(row["config"]["model_id"]),
            index + 1 if row["metadata"].get("epochs") else 0,
            name,
            float("nan") if value is None else value,
        )
        for row in rows
        for name, values in (row["metadata"].get("history") or {}).items()
        for index, value in enumerate(values)
    ]
    frame = pd.DataFrame.from_records(records, columns=_CURVES)
    types = {"job": "int64", "epoch": "int64", "value": "float64"}
    return frame.astype(types)


def _hex(model_id: int | None) -> str | None:
    return None if model_id is None else format_model_id(model_id)


def write_results(frame: pd.DataFrame, folder: Path, curves: pd.DataFrame | None = None) -> None:
    """Writes ``results.parquet`` and ``.csv``, ``curves.parquet``; each is whole at any time."""
    if curves is not None:
        _replace(folder / "curves.parquet", lambda path: curves.to_parquet(path, index=False))
    _replace(folder / "results.parquet", lambda path: frame.to_parquet(path, index=False))
    _replace(folder / "results.csv", lambda path: frame.to_csv(path, index=False))


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
