"""What there is to know of a model of a search: where it comes from, and how good it is."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.errors import ParslTLError
from parsl_tl.problems import get_problem
from parsl_tl.report.command import repeat_command, shell_line
from parsl_tl.reporting.machine import machine_facts
from parsl_tl.search.journal import read_journal
from parsl_tl.search.kept_figures import kept_metrics
from parsl_tl.store.fingerprint import format_fingerprint
from parsl_tl.store.model_id import format_model_id, parse_model_id

if TYPE_CHECKING:
    from parsl_tl.report.run import Run
    from parsl_tl.store.model_store import ModelStore

# Where the search ran, which is nobody's business who gets the model.
_PRIVATE: Final = ("store", "store_ids", "import_folders", "uid", "transfer_args")
_FIGURES: Final = (
    *("epochs", "best_epoch", "seconds_train", "seconds_total", "layers_total"),
    *("layers_transferred", "bytes_total", "gpu"),
)


def model_facts(run: Run, model_id: str, store: ModelStore, model: Any) -> dict[str, Any]:
    """Returns what is known of a model, as values that JSON can hold.

    Args:
        run: the search.
        model_id: 16 hex digits.
        store: where the model is.
        model: its Keras model.
    """
    number = parse_model_id(model_id)
    row = run.frame[run.frame["model_id"] == model_id].iloc[0]
    metadata = _metadata(run, number)
    settings = {name: value for name, value in asdict(run.settings).items() if name not in _PRIVATE}
    arch_seq = [int(index) for index in row["arch_seq"]]
    space = run.space
    return {
        "model_id": model_id,
        "evaluation": int(row["job"]),
        "license": None,
        "objective": {"name": _objective(run), "value": float(row["objective"])},
        "metrics": {
            "validation": kept_metrics(metadata),
            "test": _test_metrics(run, model_id),
        },
        "parameters": int(model.count_params()),
        "inputs": [_tensor(one) for one in model.inputs],
        "outputs": [_tensor(one) for one in model.outputs],
        "data": {
            "problem": run.settings.problem,
            "arguments": run.settings.problem_args,
            "fingerprint": format_fingerprint(store.info(number)["fingerprint"]) or None,
        },
        "architecture": {
            "space": run.settings.space,
            "summary": None if space is None else space.describe(arch_seq),
            "arch_seq": arch_seq,
            "choices": {}
            if space is None
            else dict(zip(run.choices, map(_plain, space.labels(arch_seq)), strict=True)),
        },
        "lineage": _lineage(run, number, store),
        "training": {name: metadata[name] for name in _FIGURES if metadata.get(name) is not None},
        "settings": settings,
        "command": _command(run),
        "versions": {"search": _versions(run.machine), "export": _versions(machine_facts())},
        "exported": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _metadata(run: Run, model_id: int) -> dict[str, Any]:
    """Returns what the evaluation of a model reported, its history included."""
    rows = read_journal(run.folder / "journal.jsonl")
    return next(dict(one["metadata"]) for one in rows if one["config"]["model_id"] == model_id)


def _lineage(run: Run, model_id: int, store: ModelStore) -> dict[str, Any]:
    """Returns the ancestors of a model, and which of them gave which layers."""
    info = store.info(model_id)
    weighted = store.shapes(model_id)
    layers: dict[int, list[str]] = {}
    for name, owner in store.composition(model_id).items():
        if weighted.get(name):
            layers.setdefault(owner, []).append(name)
    known = {
        row["model_id"]: row
        for row in run.frame[["model_id", "job", "objective"]].to_dict("records")
    }
    givers = []
    for owner in sorted(layers, key=lambda one: (one != model_id, -len(layers[one]))):
        text = format_model_id(owner)
        found = known.get(text)
        givers.append(
            {
                "model_id": text,
                "is_itself": owner == model_id,
                "evaluation": None if found is None else int(found["job"]),
                "objective": None if found is None else float(found["objective"]),
                "layers": layers[owner],
            }
        )
    return {
        "parent": _hex(info["parent"]),
        "donor": _hex(info["donor"]),
        "ancestors": [format_model_id(one) for one in store.lineage(model_id)],
        "layers_from": givers,
    }


def _objective(run: Run) -> str | None:
    """Returns what the search ranked by; None where the problem cannot be loaded here."""
    named = run.settings.training.get("objective")
    if named:
        return str(named)
    try:
        return get_problem(run.settings.problem, **run.settings.problem_args).objective
    except ParslTLError:
        return None


def _test_metrics(run: Run, model_id: str) -> dict[str, float]:
    """Returns what ``parsl-tl evaluate`` found for a model; nothing if nobody asked it."""
    file = run.folder / "evaluate.parquet"
    if not file.is_file():
        return {}
    import pandas as pd

    frame = pd.read_parquet(file)
    found = frame[frame["model_id"] == model_id]
    row = {} if found.empty else found.iloc[0].dropna().to_dict()
    return {str(name): float(row[name]) for name in row if str(name).startswith("test_")}


def _command(run: Run) -> str:
    """Returns the command that repeats the search, on a store of its own."""
    return shell_line(repeat_command(replace(run.settings, store="embedded:"), "runs/again"))


def _versions(machine: Mapping[str, Any]) -> dict[str, str]:
    packages = dict(machine.get("packages", {}))
    return {**packages, **({"python": machine["python"]} if "python" in machine else {})}


def _tensor(tensor: Any) -> dict[str, Any]:
    """Returns what an input or output is, under the name of the layer that it comes from."""
    layer = tensor._keras_history.operation
    return {
        "name": layer.name,
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype),
        "activation": getattr(getattr(layer, "activation", None), "__name__", None),
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _hex(model_id: int | None) -> str | None:
    return None if model_id is None else format_model_id(model_id)
