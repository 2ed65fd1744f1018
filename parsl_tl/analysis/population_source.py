"""Generated populations, as the analysis takes them: keys of layers, sequences, and parents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parsl_tl.analysis.architecture_source import KeyedModels, SpaceSource
from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import AnalysisError
from parsl_tl.native import native
from parsl_tl.population import PopulationDescription, PopulationFolder
from parsl_tl.population.flat_graphs import starts_of


@dataclass(frozen=True)
class Population:
    """Models in the order in which they came: members, and later generations behind them.

    Attributes:
        name: the folders.
        names: what models are called: their numbers, with the generation's before if there are
            several.
        description: of the last generation.
        arch_seqs: int16 [n, choices].
        parents: int64 [n], place of the model each was mutated from, -1 for none or one that is
            not among them.
        models: keys of the layers.
        num_inputs: layers that have no input, the same in all models.
    """

    name: str
    names: list[str]
    description: PopulationDescription
    arch_seqs: NDArray[np.int16]
    parents: NDArray[np.int64]
    models: KeyedModels
    num_inputs: int

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_random(self) -> bool:
        """Whether all members were drawn at random, and none was mutated since."""
        return self.description.generation == 0

    def source(self) -> SpaceSource:
        """Returns what draws further architectures of the same space and shapes."""
        description = self.description
        return SpaceSource(
            description.make_space(),
            description.input_shape,
            description.output_shape,
            description.output_activation,
        )


def has_population(folder: Path) -> bool:
    """Returns whether a folder looks like one of a population."""
    return (folder / "metadata_0.json").exists()


def load_population(folders: Sequence[Path]) -> Population:
    """Reads a population, or several generations of one.

    A generation holds mutants of some members of the one before it, under the same numbers; all
    other members are the same as there, and are not taken twice.

    Args:
        folders: generations, the earliest first.

    Raises:
        AnalysisError: generations that do not follow each other, or a folder that does not say of
            which space its sequences are.
        PopulationError: a folder without a population, or with damaged files.
    """
    opened = [_open(folder) for folder in folders]
    tables, parents = [], []
    names: list[str] = []
    place: NDArray[np.int64] = np.empty(0, np.int64)
    known = 0
    for generation, folder in enumerate(opened):
        if generation:
            _check_follows(opened[generation - 1], folder)
        table = folder.read().table
        mutated = table["parent"].to_numpy(zero_copy_only=False)
        numbers = table["number"].to_numpy()
        if generation:
            new = np.flatnonzero(~np.isnan(mutated.astype(np.float64)))
            table, numbers = table.take(pa.array(new)), numbers[new]
            parents.append(place[mutated[new].astype(np.int64)])
        else:
            parents.append(np.full(len(numbers), -1, np.int64))
            place = np.zeros(len(numbers), np.int64)
        place[numbers] = np.arange(known, known + len(numbers))
        known += len(numbers)
        tables.append(table)
        prefix = f"{folder.description.generation}:" if len(opened) > 1 else ""
        names.extend(f"{prefix}{number}" for number in numbers.tolist())
    table = pa.concat_tables(tables).combine_chunks()
    return Population(
        name=" ".join(str(folder) for folder in folders),
        names=names,
        description=opened[-1].description,
        arch_seqs=_flat(table["arch_seq"]).reshape(len(table), -1),
        parents=np.concatenate(parents),
        models=_keys(table),
        num_inputs=_count_inputs(table),
    )


def member_graph(folder: Path, number: int) -> ArchitectureGraph:
    """Builds the graph of one member of a population.

    Raises:
        AnalysisError: there is no such member.
        PopulationError: see ``load_population``.
    """
    population = _open(folder)
    if not 0 <= number < population.size:
        raise AnalysisError(
            f"{folder} has no member {number}; its members are 0 to {population.size - 1}"
        )
    arch_seq = next(population.chunks(number, number + 1))[0].tolist()
    description = population.description
    return description.make_space().build(
        arch_seq,
        description.input_shape,
        description.output_shape,
        description.output_activation,
    )


def _open(folder: Path) -> PopulationFolder:
    population = PopulationFolder(folder)
    if not population.has_description:
        raise AnalysisError(
            f"{folder} does not say of which space its sequences are; write it anew with "
            "apps/gen_models_with_pop.py, which takes it as initial population"
        )
    return population


def _check_follows(before: PopulationFolder, after: PopulationFolder) -> None:
    one, other = before.description.to_dict(), after.description.to_dict()
    for key in ("seed", "generation"):
        one.pop(key), other.pop(key)
    if one != other or after.description.generation != before.description.generation + 1:
        raise AnalysisError(
            f"{after.folder} (generation {after.description.generation}) does not follow "
            f"{before.folder} (generation {before.description.generation}); name the generations "
            "of one population in their order"
        )


def _flat(column: pa.ChunkedArray) -> NDArray[np.int16]:
    values: NDArray[np.int16] = column.combine_chunks().flatten().to_numpy()
    return values


def _keys(table: pa.Table) -> KeyedModels:
    column = table["prefix_hashes"].combine_chunks()
    starts = starts_of(column.value_lengths().to_numpy())
    return KeyedModels(starts, native.layer_keys(starts, column.flatten().to_numpy()))


def _count_inputs(table: pa.Table) -> int:
    """Counts the layers of the first model into which no edge goes."""
    row = table.slice(0, 1).to_pylist()[0]
    return len(row["prefix_hashes"]) - len(set(row["edge_targets"]))
