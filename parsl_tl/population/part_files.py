"""The files of one part of a population: written beside each other, and there by rename.

A part is what one rank or one task makes. ``metadata_<part>.json`` holds the description and the
architecture sequences, ``models_<part>.json`` one Keras JSON per line, and
``population_<part>.parquet`` (or ``.arrow``) one row per model.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parsl_tl.architecture.prefix import HASH_SCHEME
from parsl_tl.errors import PopulationError
from parsl_tl.population.flat_graphs import FlatGraphs

SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("arch_seq", pa.list_(pa.int16()), nullable=False),
        pa.field("parent", pa.int64()),
        pa.field("prefix_hashes", pa.list_(pa.uint64()), nullable=False),
        pa.field("edge_sources", pa.list_(pa.uint16()), nullable=False),
        pa.field("edge_targets", pa.list_(pa.uint16()), nullable=False),
        pa.field("parameters", pa.int64()),
    ],
    metadata={"parsl_tl.hash_scheme": str(HASH_SCHEME)},
)
# Rows of a row group or batch: enough for columns to pay, few enough to stay in memory.
_GROUP_ROWS = 8_192


def metadata_path(folder: Path, part: int) -> Path:
    """Returns where a part's description and sequences are."""
    return folder / f"metadata_{part}.json"


def models_path(folder: Path, part: int) -> Path:
    """Returns where a part's Keras JSON is."""
    return folder / f"models_{part}.json"


def table_path(folder: Path, part: int, form: str) -> Path:
    """Returns where a part's table is; ``form`` is ``parquet`` or ``arrow``."""
    return folder / f"population_{part}.{form}"


def all_paths(folder: Path, part: int) -> list[Path]:
    """Returns every file that a part may have."""
    tables = [table_path(folder, part, form) for form in ("parquet", "arrow")]
    return [metadata_path(folder, part), models_path(folder, part), *tables]


def population_batch(
    numbers: NDArray[np.int64],
    arch_seqs: NDArray[np.int16],
    evolve_count: int,
    flat: FlatGraphs,
) -> pa.RecordBatch:
    """Returns the rows of models, as ``SCHEMA`` says.

    Args:
        numbers: int64 [n], of the models in the population.
        arch_seqs: int16 [n, choices].
        evolve_count: models with smaller numbers are mutants of those with the same number in
            the population before.
        flat: their graphs.
    """
    layers = pa.array(flat.layer_starts.astype(np.int32))
    edges = pa.array(flat.edge_starts.astype(np.int32))
    width = arch_seqs.shape[1]
    sequences = pa.array(np.arange(len(arch_seqs) + 1, dtype=np.int32) * width)
    parameters = flat.parameters()
    return pa.RecordBatch.from_arrays(
        [
            pa.array(numbers),
            pa.ListArray.from_arrays(sequences, pa.array(arch_seqs.ravel())),
            pa.array(numbers, mask=numbers >= evolve_count),
            pa.ListArray.from_arrays(layers, pa.array(flat.prefix_hashes)),
            pa.ListArray.from_arrays(edges, pa.array(flat.edges[:, 0].astype(np.uint16))),
            pa.ListArray.from_arrays(edges, pa.array(flat.edges[:, 1].astype(np.uint16))),
            pa.array(parameters, mask=parameters < 0),
        ],
        schema=SCHEMA,
    )


def has_current_hashes(schema: pa.Schema) -> bool:
    """Returns whether a table's hashes were made as this release makes them."""
    found = (schema.metadata or {}).get(b"parsl_tl.hash_scheme", b"")
    return bool(found == str(HASH_SCHEME).encode())


class PartWriter:
    """Writes the files of a part; use it in a ``with``. Without ``commit`` nothing appears."""

    def __init__(
        self, folder: Path, part: int, formats: Sequence[str], metadata: dict[str, Any]
    ) -> None:
        """Prepares the files.

        Args:
            folder: where they go; it exists.
            part: number of the part.
            formats: of ``names.FORMATS``.
            metadata: what ``metadata_<part>.json`` holds besides the sequences.
        """
        self._folder = folder
        self._part = part
        self._formats = formats
        self._metadata = metadata
        self._files: dict[Path, IO[bytes]] = {}
        self._tables: list[pq.ParquetWriter | pa.RecordBatchFileWriter] = []
        self._waiting: list[pa.RecordBatch] = []
        self._num_waiting = self._num_written = 0

    def __enter__(self) -> Self:
        """Opens the files, under names that nobody reads.

        Raises:
            PopulationError: the folder cannot be written.
        """
        with self._told():
            self._metadata_file = self._open(metadata_path(self._folder, self._part))
            head = json.dumps(self._metadata)[:-1]
            self._metadata_file.write(f'{head}, "population": ['.encode())
            if "json" in self._formats:
                self._models_file = self._open(models_path(self._folder, self._part))
            schema = SCHEMA.with_metadata(
                {**SCHEMA.metadata, "population": json.dumps(self._metadata)}
            )
            if "parquet" in self._formats:
                file = self._open(table_path(self._folder, self._part, "parquet"))
                # Hashes are all different, and sequences are packed well enough as they are.
                self._tables.append(
                    pq.ParquetWriter(
                        file, schema, compression="zstd", compression_level=1, use_dictionary=False
                    )
                )
            if "arrow" in self._formats:
                file = self._open(table_path(self._folder, self._part, "arrow"))
                self._tables.append(pa.ipc.new_file(file, schema))
        return self

    def write(self, arch_seqs: NDArray[np.int16], rows: pa.RecordBatch, keras_json: bytes) -> None:
        """Writes some models.

        Args:
            arch_seqs: int16 [n, choices].
            rows: what ``population_batch`` gave.
            keras_json: a line for each, if that is among the formats.

        Raises:
            PopulationError: the disk is full.
        """
        with self._told():
            # One sequence per line, so that readers need not have all of them in memory.
            lines = json.dumps(arch_seqs.tolist(), separators=(",", ":"))[1:-1]
            lines = lines.replace("],[", "],\n[")
            self._metadata_file.write((",\n" if self._num_written else "\n").encode())
            self._metadata_file.write(lines.encode())
            self._num_written += len(arch_seqs)
            if "json" in self._formats:
                self._models_file.write(keras_json)
            if self._tables:
                self._waiting.append(rows)
                self._num_waiting += len(arch_seqs)
                if self._num_waiting >= _GROUP_ROWS:
                    self._write_rows()

    def commit(self) -> int:
        """Makes the files appear.

        Returns:
            Their bytes.

        Raises:
            PopulationError: the disk is full.
        """
        with self._told():
            self._write_rows()
            for table in self._tables:
                table.close()
            self._metadata_file.write(b"\n]}\n")
            total = 0
            for file in self._files.values():
                file.flush()
                total += file.tell()
                file.close()
            for path in all_paths(self._folder, self._part):
                if path in self._files:
                    _temporary(path).replace(path)
                else:
                    path.unlink(missing_ok=True)  # of an earlier population, in another format
            self._files.clear()
        return total

    def __exit__(self, *_: object) -> None:
        """Removes what was not committed."""
        # What cannot be flushed any more is thrown away anyway.
        for table in self._tables if self._files else []:
            with contextlib.suppress(OSError, ValueError):
                table.close()
        for path, file in self._files.items():
            with contextlib.suppress(OSError):
                file.close()
            _temporary(path).unlink(missing_ok=True)

    def _open(self, path: Path) -> IO[bytes]:
        file = open(_temporary(path), "wb", buffering=1 << 20)  # noqa: SIM115
        self._files[path] = file
        return file

    def _write_rows(self) -> None:
        if not self._waiting:
            return
        group = pa.Table.from_batches(self._waiting).combine_chunks()
        for table in self._tables:
            table.write_table(group)
        self._waiting, self._num_waiting = [], 0

    @contextlib.contextmanager
    def _told(self) -> Any:
        try:
            yield
        except OSError as error:
            raise PopulationError(
                f"{self._folder}: {error.strerror or error}; part {self._part} was not written. "
                "Name another folder, or make room"
            ) from error


def temporary_name(name: str) -> str:
    """Returns what a file is called until it is whole."""
    return f".{name}.part"


def _temporary(path: Path) -> Path:
    return path.with_name(temporary_name(path.name))
