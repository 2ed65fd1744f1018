"""Generates a population, or evolves one, part by part."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parsl_tl.errors import ImpossibleArchitectureError, PopulationError
from parsl_tl.imports import add_import_folders, import_folders
from parsl_tl.population.assembler import Assembler
from parsl_tl.population.assembler_choice import assembler_for
from parsl_tl.population.description import PopulationDescription
from parsl_tl.population.draws import mutated, random_sequences
from parsl_tl.population.folder import PopulationFolder
from parsl_tl.population.names import FORMATS
from parsl_tl.population.part_files import SCHEMA, PartWriter, population_batch
from parsl_tl.population.redraws import replace_impossible
from parsl_tl.spaces import SearchSpace
from parsl_tl.spaces.mutation import uniform_weights

# Keras JSON of a model takes tens of kilobytes; this much of it fits the processor's cache.
_CHUNK_WITH_JSON = 256
_CHUNK = 4096
# A second or two of work, with Keras JSON.
_PART_MODELS = 5000


class PopulationTask(NamedTuple):
    """A population that is to be written.

    Attributes:
        description: what defines it.
        folder: where it goes.
        formats: of ``FORMATS``.
        initial_folder: the population of which the first members are mutated; None to begin with
            random ones.
        evolve_count: how many members are mutated.
        import_folders: where the module of a space of the user's own was found.
    """

    description: PopulationDescription
    folder: Path
    formats: tuple[str, ...] = ("json", "parquet")
    initial_folder: Path | None = None
    evolve_count: int = 0
    import_folders: tuple[str, ...] = ()


class PartReport(NamedTuple):
    """What became of a part.

    Attributes:
        part: its number.
        models: how many.
        bytes: of its files.
        seconds: it took.
        redrawn: how many members could not exist and were drawn again, by reason.
    """

    part: int
    models: int
    bytes: int
    seconds: float
    redrawn: Mapping[str, int] = {}


def plan(
    description: PopulationDescription | None,
    folder: str | os.PathLike[str],
    formats: Sequence[str] = ("json", "parquet"),
    *,
    initial_folder: str | os.PathLike[str] | None = None,
    evolve_count: int = 0,
    seed: int = 0,
) -> PopulationTask:
    """Checks everything that can be checked before the work begins; makes the folder.

    Args:
        description: of the population to generate; of the one in ``initial_folder`` only where
            its files do not say what they hold.
        folder: where the population goes; what is there stays until the new parts are whole.
        formats: ``json``, ``parquet``, ``arrow``.
        initial_folder: a population to begin with.
        evolve_count: how many of the first members are mutated.
        seed: of the mutations.

    Raises:
        PopulationError: values that do not fit each other, or a folder that cannot be written.
        SpaceError: an unknown space, or shapes that it does not take.
    """
    out = Path(folder)
    initial = None if initial_folder is None else Path(initial_folder)
    if initial is not None:
        description = _initial_description(description, initial, out)
    if description is None:
        raise PopulationError("say what to generate, or which population to begin with")
    if initial is not None or evolve_count:
        description = description.evolved(seed)
    unknown = [item for item in formats if item not in FORMATS]
    if unknown or not formats:
        raise PopulationError(f"formats {list(formats)!r}: choose from {', '.join(FORMATS)}")
    if not 0 <= evolve_count <= description.size:
        raise PopulationError(
            f"evolve_count={evolve_count} must lie between 0 and the population's size, "
            f"{description.size}"
        )
    space = description.make_space()
    if evolve_count:
        uniform_weights(space)  # tells if there is nothing to change
    shapes = (description.input_shape, description.output_shape, description.output_activation)
    with contextlib.suppress(ImpossibleArchitectureError):  # others are possible
        space.build([0] * len(space.choices()), *shapes)
    _check_writable(out)
    return PopulationTask(
        description,
        out,
        tuple(dict.fromkeys(formats)),
        initial,
        evolve_count,
        tuple(import_folders([description.space])),
    )


def default_parts(size: int) -> int:
    """Returns into how many parts a population is cut where nothing else is said."""
    return max(1, round(size / _PART_MODELS))


def part_bounds(size: int, part: int, parts: int) -> tuple[int, int]:
    """Returns the numbers of a part's first model and of the one behind its last."""
    return size * part // parts, size * (part + 1) // parts


def write_part(
    task: PopulationTask,
    part: int,
    parts: int,
    progress: Callable[[int], None] = lambda done: None,
) -> PartReport:
    """Writes one part; whichever part it is of however many, the population is the same.

    Args:
        task: from ``plan``.
        part: number of the part, from 0.
        parts: how many there are.
        progress: called now and then with the number of models so far.

    Raises:
        PopulationError: a file cannot be written, or the initial population not read.
    """
    start = time.perf_counter()
    description = task.description
    add_import_folders(task.import_folders)
    first, end = part_bounds(description.size, part, parts)
    space = description.make_space()
    assembler = assembler_for(
        space, description.input_shape, description.output_shape, description.output_activation
    )
    with_json = "json" in task.formats
    with_table = len(task.formats) > with_json
    redrawn: Counter[str] = Counter()
    metadata = {
        **description.to_dict(),
        "evolve_count": task.evolve_count,
        "parts": parts,
        "part": part,
        "first": first,
        "count": end - first,
    }
    with PartWriter(task.folder, part, task.formats, metadata) as writer:
        number = first
        size = _CHUNK_WITH_JSON if with_json else _CHUNK
        for rows in _sequences(task, space, assembler, redrawn, first, end, size):
            text = b""
            if with_json:
                flat, text = assembler.assemble_with_json(rows)
            elif with_table:
                flat = assembler.assemble(rows)
            batch = _NO_ROWS
            if with_table:
                numbers = np.arange(number, number + len(rows))
                batch = population_batch(numbers, rows, task.evolve_count, flat)
            writer.write(rows, batch, text)
            number += len(rows)
            progress(number - first)
        num_bytes = writer.commit()
    return PartReport(part, end - first, num_bytes, time.perf_counter() - start, dict(redrawn))


_NO_ROWS = pa.RecordBatch.from_pylist([], schema=SCHEMA)


def _sequences(
    task: PopulationTask,
    space: SearchSpace,
    assembler: Assembler,
    redrawn: Counter[str],
    first: int,
    end: int,
    size: int,
) -> Iterator[NDArray[np.int16]]:
    """Yields the sequences of a part, all of them possible, ``size`` at a time at most."""
    sizes = [len(choice.values) for choice in space.choices()]
    number = first
    for initial in _initial_sequences(task, sizes, first, end, size):
        rows = initial
        num_evolved = min(max(task.evolve_count - number, 0), len(rows))
        if num_evolved:
            rows = rows.copy()
            rows[:num_evolved] = _mutated(task, space, rows[:num_evolved], number)
        draw_again = partial(_draw_again, task, space, initial, number)
        yield replace_impossible(rows, assembler, draw_again, redrawn)
        number += len(rows)


def _mutated(
    task: PopulationTask,
    space: SearchSpace,
    rows: NDArray[np.int16],
    first: int,
    attempt: int = 0,
) -> NDArray[np.int16]:
    sizes = [len(choice.values) for choice in space.choices()]
    seed, generation = task.description.seed, task.description.generation
    return mutated(rows, sizes, uniform_weights(space), seed, generation, first, attempt)


def _draw_again(
    task: PopulationTask,
    space: SearchSpace,
    initial: NDArray[np.int16],
    first: int,
    index: int,
    attempt: int,
) -> NDArray[np.int16]:
    """Returns another sequence for one of the rows of which the first has the number ``first``."""
    number = first + index
    if number < task.evolve_count:
        parent = initial[index : index + 1]
        return _mutated(task, space, parent, number, attempt).reshape(-1)
    if task.initial_folder is not None:
        raise PopulationError(
            f"model {number} of {task.initial_folder} cannot exist in the space "
            f"{task.description.space!r} as it is now; generate the population anew"
        )
    sizes = [len(choice.values) for choice in space.choices()]
    drawn = random_sequences(sizes, task.description.seed, number, 1, attempt)
    return drawn.reshape(-1)


def _initial_sequences(
    task: PopulationTask, sizes: Sequence[int], first: int, end: int, size: int
) -> Iterator[NDArray[np.int16]]:
    if task.initial_folder is None:
        for start in range(first, end, size):
            yield random_sequences(sizes, task.description.seed, start, min(size, end - start))
        return
    limits = np.array(sizes)
    for rows in PopulationFolder(task.initial_folder).chunks(first, end):
        if rows.shape[1] != len(sizes) or (rows < 0).any() or (rows >= limits).any():
            raise PopulationError(
                f"{task.initial_folder} holds sequences that are not of the space "
                f"{task.description.space!r} with {dict(task.description.space_args)}"
            )
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _initial_description(
    given: PopulationDescription | None, initial: Path, out: Path
) -> PopulationDescription:
    if out.exists() and initial.exists() and out.samefile(initial):
        raise PopulationError(f"{out} would be written while it is read; name another folder")
    found = PopulationFolder(initial)
    if found.has_description or given is None:
        return found.description
    return PopulationDescription.from_dict({**given.to_dict(), "size": found.size})


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Ranks check at the same time: each has a file of its own.
        trial = folder / f".writable-{os.getpid()}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise PopulationError(f"{folder}: {error.strerror}; name another folder") from error
