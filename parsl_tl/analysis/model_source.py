"""Models by where they are: Keras JSON, a ``.keras`` file, or a row of a population."""

from __future__ import annotations

import itertools
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import AnalysisError, ArchitectureError

FORMS = (
    "a Keras JSON file, a .keras file, FILE.json:LINE (counted from 1) of a file with one model "
    "per line, or FOLDER:NUMBER, a member of a generated population"
)


class NamedModel(NamedTuple):
    """A model, and what to call it.

    Attributes:
        title: file name, and line or number if there is one.
        graph: its architecture.
    """

    title: str
    graph: ArchitectureGraph


def load_model(where: str) -> NamedModel:
    """Reads one model; neither Keras nor weights are loaded.

    Args:
        where: see ``FORMS``.

    Raises:
        AnalysisError: there is no such file, line or member, or the file is damaged.
        ArchitectureError: what was read is no model.
    """
    path, number = _split(where)
    title = path.name if number is None else f"{path.name}:{number}"
    if not path.exists():
        raise AnalysisError(f"{path} does not exist; name {FORMS}")
    try:
        return NamedModel(title, _read(path, number))
    except ArchitectureError as error:
        raise ArchitectureError(f"{where}: {error}") from error
    except RecursionError as error:
        raise ArchitectureError(f"{where}: nested too deeply for a model") from error
    except OSError as error:
        raise AnalysisError(f"{where} cannot be read: {error.strerror or error}") from error


def _split(where: str) -> tuple[Path, int | None]:
    """Takes the number off, unless a file has the whole text as its name."""
    base, colon, number = where.rpartition(":")
    if colon and base and number.isdecimal() and not Path(where).exists():
        return Path(base), int(number)
    return Path(where), None


def _read(path: Path, number: int | None) -> ArchitectureGraph:
    if path.is_dir():
        if number is None:
            raise AnalysisError(f"{path} is a folder; name a member of its population: {path}:0")
        return _member(path, number)
    if path.suffix == ".keras" or zipfile.is_zipfile(path):
        if number is not None:
            raise AnalysisError(f"{path} holds one model; leave :{number} out")
        return ArchitectureGraph.from_json(_keras_config(path))
    if number is not None:
        return ArchitectureGraph.from_json(_line(path, number))
    return _only_model(path)


def _keras_config(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json")
    # RuntimeError: encrypted; NotImplementedError: a compression that Python does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise AnalysisError(
            f"{path} is no complete .keras file ({error}); save the model anew"
        ) from error
    except KeyError as error:
        raise AnalysisError(
            f"{path} is a zip file without config.json, so no .keras file; "
            "save the model with model.save"
        ) from error


def _only_model(path: Path) -> ArchitectureGraph:
    data = path.read_bytes()
    try:
        return ArchitectureGraph.from_json(data)
    except ArchitectureError:
        lines = [line for line in data.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.lstrip().startswith(b"{") for line in lines):
            raise AnalysisError(
                f"{path} holds {len(lines)} models, one per line; name one: {path}:1"
            ) from None
        raise


def _line(path: Path, number: int) -> bytes:
    if number < 1:
        raise AnalysisError(f"{path}:{number}: lines are counted from 1")
    with path.open("rb") as lines:
        found = next(itertools.islice(lines, number - 1, None), None)
    if found is None or not found.strip():
        with path.open("rb") as lines:
            count = sum(1 for line in lines if line.strip())
        raise AnalysisError(f"{path} has no model in line {number}; it has {count}, from 1")
    return found


def _member(folder: Path, number: int) -> ArchitectureGraph:
    from parsl_tl.analysis.population_source import member_graph

    return member_graph(folder, number)
