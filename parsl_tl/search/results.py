"""A campaign's results as a table, and as files that pandas and polars open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.store.model_id import format_model_id

if TYPE_CHECKING:
    import pandas as pd

_FIRST = ["job", "model_id", "parent", "donor", "objective", "failure", "arch_seq"]


def results_frame(rows: Iterable[Mapping[str, Any]], choices: Sequence[str]) -> pd.DataFrame:
    """Returns one row per finished evaluation, in the order they finished.

    Columns: ``job``; ``model_id``, ``parent``, ``donor`` (16 hex digits); ``objective`` (NaN for
    a failure); ``failure`` (its reason); ``arch_seq`` (list of indices); then everything the
    evaluation reported about itself.

    Args:
        rows: finished events of the journal.
        choices: names of the space's choices, in order.
    """
    import pandas as pd

    records = []
    for row in rows:
        config, objective = row["config"], row["objective"]
        failed = isinstance(objective, str)
        record = {**row["metadata"]}
        record.update(
            job=config["job"],
            model_id=format_model_id(config["model_id"]),
            parent=_hex(config["parent"]),
            donor=_hex(record.get("donor")),
            objective=float("nan") if failed else float(objective),
            failure=objective.removeprefix("F_") if failed else None,
            arch_seq=[int(config[name]) for name in choices],
        )
        records.append(record)
    frame = pd.DataFrame.from_records(records)
    if frame.empty:
        return pd.DataFrame(columns=_FIRST).astype({"objective": float})
    return frame[_FIRST + [name for name in frame.columns if name not in _FIRST]]


def _hex(model_id: int | None) -> str | None:
    return None if model_id is None else format_model_id(model_id)


def write_results(frame: pd.DataFrame, folder: Path) -> None:
    """Writes ``results.parquet`` and ``results.csv``; each is whole at any time."""
    _replace(folder / "results.parquet", lambda path: frame.to_parquet(path, index=False))
    _replace(folder / "results.csv", lambda path: frame.to_csv(path, index=False))


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
