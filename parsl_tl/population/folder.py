"""A folder with a population, in however many parts it was written."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parsl_tl.errors import PopulationError
from parsl_tl.population.assembler_choice import assembler_for
from parsl_tl.population.description import PopulationDescription
from parsl_tl.population.part_files import (
    SCHEMA,
    all_paths,
    has_current_hashes,
    metadata_path,
    population_batch,
    table_path,
    temporary_name,
)

_CHUNK = 4096
_HEAD = '"population": ['


class Part(NamedTuple):
    """Where some members of a population stand.

    Attributes:
        number: of the part, in its files' names.
        first: number of its first model.
        end: number behind its last one.
    """

    number: int
    first: int
    end: int


class Population(NamedTuple):
    """A population in memory.

    Attributes:
        description: what defines it.
        evolve_count: how many of its first members are mutants.
        table: one row per model, in the order of numbers; columns as in ``part_files.SCHEMA``.
    """

    description: PopulationDescription
    evolve_count: int
    table: pa.Table

    def arch_seqs(self) -> NDArray[np.int16]:
        """Returns the sequences, int16 [n, choices]."""
        values = self.table["arch_seq"].combine_chunks().flatten().to_numpy()
        sequences: NDArray[np.int16] = values.reshape(len(self.table), -1)
        return sequences


class PopulationFolder:
    """Reads a population; nothing is loaded before it is asked for."""

    def __init__(self, folder: str | Path) -> None:
        """Looks at the metadata of every part.

        Args:
            folder: where ``metadata_<part>.json`` are.

        Raises:
            PopulationError: there are none, a part is missing, or is of another population.
        """
        self.folder = Path(folder)
        found = _part_numbers(self.folder)
        if not found:
            raise PopulationError(
                f"{self.folder} holds no population: there is no metadata_0.json; "
                "name the output folder of an earlier run"
            )
        heads = {number: self._head(number) for number in found}
        expected = heads.get(0, {}).get("parts")
        # Files with higher numbers are left from a run with more parts.
        numbers = range(expected) if expected else range(len(found))
        for number in numbers:
            if number not in heads:
                raise PopulationError(
                    f"{metadata_path(self.folder, number)} is missing; the population was written "
                    f"in {len(numbers)} parts"
                )
        self._metadata = heads[0]
        self.parts: list[Part] = []
        first = 0
        for number in numbers:
            self._check_same(number, heads[number])
            count = heads[number].get("count")
            if count is None:  # not written by this library
                count = sum(len(rows) for rows in self._rows_of(number))
            self.parts.append(Part(number, first, first + count))
            first += count
        self.size = first

    @property
    def description(self) -> PopulationDescription:
        """What defines the population.

        Raises:
            PopulationError: the metadata do not say: other programs' files hold sequences only.
        """
        if "space" not in self._metadata:
            raise PopulationError(
                f"{metadata_path(self.folder, 0)} does not say of which space its sequences are; "
                "give --space and --space-extra-arg"
            )
        return PopulationDescription.from_dict(self._metadata)

    @property
    def has_description(self) -> bool:
        """Whether the metadata say of which space the sequences are."""
        return "space" in self._metadata

    @property
    def evolve_count(self) -> int:
        """So many of the first members are mutants."""
        return int(self._metadata.get("evolve_count", 0))

    def chunks(self, first: int, end: int) -> Iterator[NDArray[np.int16]]:
        """Yields the sequences of the models from ``first`` to before ``end``, some at a time.

        Raises:
            PopulationError: a file is truncated, or holds something else.
        """
        for part in self.parts:
            low, high = max(first, part.first), min(end, part.end)
            if low < high:
                yield from self._rows_of(part.number, low - part.first, high - low)

    def _head(self, part: int) -> dict[str, Any]:
        """Returns a part's metadata, without the sequences."""
        path = metadata_path(self.folder, part)
        with _told(path), open(path, encoding="ascii") as file:
            start = file.readline()
            if start.rstrip().endswith(_HEAD):
                found = json.loads(start.rstrip()[: -len(_HEAD)].rstrip(", ") + "}")
            else:
                file.seek(0)
                found = json.load(file)
            if not isinstance(found, dict):
                raise ValueError("no object")
            found.pop("population", None)
            return found

    def _check_same(self, part: int, head: dict[str, Any]) -> None:
        own = {key: value for key, value in head.items() if key not in _PART_KEYS}
        others = {key: value for key, value in self._metadata.items() if key not in _PART_KEYS}
        if own != others and "parts" in self._metadata:
            raise PopulationError(
                f"{metadata_path(self.folder, part)} belongs to another population than "
                "metadata_0.json: a run was interrupted; generate it anew"
            )

    def _rows_of(
        self, part: int, skip: int = 0, count: int | None = None
    ) -> Iterator[NDArray[np.int16]]:
        path = metadata_path(self.folder, part)
        with _told(path), open(path, encoding="ascii") as file:
            if count is None or not file.readline().rstrip().endswith(_HEAD):
                file.seek(0)
                rows = json.load(file)["population"]
                yield _to_array(rows[skip:] if count is None else rows[skip : skip + count])
                return
            for _ in islice(file, skip):
                pass
            while count > 0:
                lines = list(islice(file, min(count, _CHUNK)))
                if len(lines) < min(count, _CHUNK):
                    raise ValueError("it ends early")
                count -= len(lines)
                yield _to_array(json.loads(f"[{''.join(lines).rstrip().rstrip(',')}]"))

    def read(self) -> Population:
        """Reads everything.

        Raises:
            PopulationError: a file is truncated, or holds something else.
        """
        description = self.description
        tables = [self._table(part) for part in self.parts]
        return Population(description, self.evolve_count, pa.concat_tables(tables))

    def _table(self, part: Part) -> pa.Table:
        for form in ("arrow", "parquet"):
            path = table_path(self.folder, part.number, form)
            if not path.exists():
                continue
            with _told(path):
                if form == "parquet":
                    table = pq.read_table(path)
                else:
                    with pa.memory_map(str(path)) as source:
                        table = pa.ipc.open_file(source).read_all()
                if len(table) != part.end - part.first:
                    raise ValueError(f"{len(table)} rows instead of {part.end - part.first}")
                if has_current_hashes(table.schema):
                    return table.replace_schema_metadata(None)
        return self._assembled(part).replace_schema_metadata(None)

    def _assembled(self, part: Part) -> pa.Table:
        """Makes the rows anew, where there are none or their hashes are of another scheme."""
        description = self.description
        assembler = assembler_for(
            description.make_space(),
            description.input_shape,
            description.output_shape,
            description.output_activation,
        )
        batches = []
        number = part.first
        for rows in self.chunks(part.first, part.end):
            numbers = np.arange(number, number + len(rows))
            number += len(rows)
            batches.append(
                population_batch(numbers, rows, self.evolve_count, assembler.assemble(rows))
            )
        return pa.Table.from_batches(batches, SCHEMA)


_PART_KEYS = ("part", "first", "count")


def read_population(folder: str | Path) -> Population:
    """Reads the population of a folder.

    Raises:
        PopulationError: there is none, a part is missing, or a file is truncated.
    """
    return PopulationFolder(folder).read()


def remove_parts(folder: Path, first: int) -> None:
    """Removes the files of parts from ``first`` on, that an earlier population left."""
    for number in _part_numbers(folder):
        if number >= first:
            for path in all_paths(folder, number):
                path.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what writers left that were ended before they could; call it when none is at work."""
    for path in folder.glob(temporary_name("*")):
        path.unlink(missing_ok=True)


def _part_numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        raise PopulationError(f"{folder} is no folder; name the output folder of an earlier run")
    names = (re.fullmatch(r"metadata_(\d+)\.json", path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in names if match)


def _to_array(rows: Any) -> NDArray[np.int16]:
    array = np.array(rows, np.int64)
    if array.ndim != 2 or (array != array.astype(np.int16)).any():
        raise ValueError("sequences of different lengths, or no sequences")
    return array.astype(np.int16)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tells what is wrong with a file that cannot be read."""
    try:
        yield
    except PopulationError:
        raise
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise PopulationError(
            f"{path} cannot be read: {error}; it is truncated or holds something else, "
            "generate it anew"
        ) from error
