"""Exporting the best models of a search: a folder for each, with its card, there whole or not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from parsl_tl.errors import (
    CampaignError,
    ExportError,
    InvalidValueError,
    ModelNotFoundError,
)
from parsl_tl.export.card import card_text
from parsl_tl.export.facts import model_facts
from parsl_tl.export.formats import FORMATS
from parsl_tl.report.run import Run, read_run
from parsl_tl.reporting.files import prepare_folder
from parsl_tl.search.results import best_first
from parsl_tl.store.export import load_keras_model
from parsl_tl.store.model_id import parse_model_id
from parsl_tl.store.uri import open_store
from parsl_tl.suggestions import check_names

if TYPE_CHECKING:
    import pandas as pd

    from parsl_tl.store.model_store import ModelStore

CARD: Final = "README.md"
"""The card's name: where the Hugging Face hub looks for it."""
FACTS: Final = "card.json"
"""What the card is made of."""
_PREPROCESSING: Final = "preprocessing.json"


class Exported(NamedTuple):
    """A model that was asked for.

    Attributes:
        model_id: 16 hex digits.
        folder: where it is; None if it was not written.
        files: in the folder, the card's last.
        problem: why it was not written; empty if it was.
    """

    model_id: str
    folder: Path | None
    files: Sequence[str]
    problem: str = ""


def export_models(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    top: int = 1,
    model: str | None = None,
    formats: Sequence[str] = ("keras",),
    overwrite: bool = False,
) -> list[Exported]:
    """Writes models of a search as files, each in a folder ``<out>/<model id>`` with its card.

    Every file is known to predict what the stored model does before its folder appears.

    Args:
        run: folder of the search, which may go on meanwhile.
        out: folder of the exports; made if it is missing.
        top: how many of the best models, of each architecture one.
        model: the id of a model in place of these, or the start of one.
        formats: names of ``FORMATS``.
        overwrite: replace folders that exist.

    Returns:
        What became of each model, the best first. Of several, those that were retired are told of
        and left out.

    Raises:
        CampaignError: there is no campaign, it has no store, or no evaluation succeeded.
        ExportError: a package is missing, or a format cannot hold a model.
        InvalidValueError: an unknown format, an id that fits no model or several, or a folder that
            exists.
        ModelNotFoundError: the one model that was asked for was retired.
        StoreError: the store cannot be read.
    """
    check_names(formats, FORMATS, "an export")
    if not formats or top < 1:
        raise InvalidValueError(
            f"top={top} and formats={list(formats)!r}: give at least one of each"
        )
    read = read_run(run)
    ids = _best(read, top) if model is None else [_find(read.frame, model)]
    for name in formats:
        FORMATS[name].check()
    target = prepare_folder(Path(out))
    existing = [one for one in ids if (target / one).exists()]
    if existing and not overwrite:
        raise InvalidValueError(
            f"{target / existing[0]} exists; name another folder or overwrite it on purpose"
        )
    with open_store(read.settings.store_uri(read.folder), read_only=True) as store:
        return [_export(read, store, one, target, formats, alone=len(ids) == 1) for one in ids]


def _best(run: Run, top: int) -> list[str]:
    best = best_first(run.frame)
    if best.empty:
        raise CampaignError(
            f"no evaluation succeeded in the campaign {run.folder}; `parsl-tl status` tells why"
        )
    distinct = best[~best["arch_seq"].map(tuple).duplicated()]
    return list(distinct["model_id"].head(top))


def _find(frame: pd.DataFrame, text: str) -> str:
    """Returns the id of the model that succeeded and starts with the given digits."""
    parse_model_id(text)  # refuses what is no id at all
    prefix = text.strip().lower().removeprefix("0x")
    ids = frame["model_id"][frame["objective"].notna()]
    found = sorted(set(ids[ids.str.startswith(prefix)]))
    if not found:
        raise InvalidValueError(
            f"no model of the search that succeeded starts with {text!r}; results.csv lists them"
        )
    if len(found) > 1:
        raise InvalidValueError(f"{text!r} could be {', '.join(found[:3])}; give more digits")
    return str(found[0])


def _export(
    run: Run, store: ModelStore, model_id: str, out: Path, formats: Sequence[str], *, alone: bool
) -> Exported:
    try:
        model = load_keras_model(store, parse_model_id(model_id))
        facts = model_facts(run, model_id, store, model)
    except ModelNotFoundError as error:  # a search that goes on may retire it at any moment
        told = (
            f"model {model_id} was retired when it left the population; a search keeps more of the "
            f"best with --keep-best (here {run.settings.keep_best})"
        )
        if alone:
            raise ModelNotFoundError(told) from error
        return Exported(model_id, None, (), told)
    partial = out / f".{model_id}.{os.getpid()}"
    try:
        partial.mkdir()
        files = _write(model, facts, formats, partial, run.folder / _PREPROCESSING)
        _put(partial, out / model_id)
    except OSError as error:
        raise ExportError(
            f"{out / model_id} cannot be written: {error.strerror or error}; name another folder"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Exported(model_id, out / model_id, files)


def _write(
    model: Any, facts: Mapping[str, Any], formats: Sequence[str], folder: Path, preprocessing: Path
) -> list[str]:
    """Writes a model and its card, and returns the names of the files."""
    written = []
    for name in dict.fromkeys(formats):
        files = FORMATS[name].write(model, folder, facts["model_id"])
        written.append((name, [file.name for file in files], FORMATS[name].loading))
    names = [file for _, files, _ in written for file in files]
    facts = {**facts, "formats": {name: files for name, files, _ in written}}
    if preprocessing.is_file():
        shutil.copyfile(preprocessing, folder / _PREPROCESSING)
        facts["preprocessing"] = _PREPROCESSING
        names.append(_PREPROCESSING)
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card_text(facts, written), encoding="utf-8")
    return [*names, FACTS, CARD]


def _put(partial: Path, target: Path) -> None:
    """Moves a whole folder to its place; one that was there is gone only then."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
