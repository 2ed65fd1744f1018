"""How fast populations are generated, beside building each model with Keras."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from parsl_tl.errors import BenchmarkError, InvalidValueError
from parsl_tl.population import PopulationDescription, plan, write_part
from parsl_tl.population.draws import random_sequences

Progress = Callable[[float, str], None]

# What is written, by the name of the way.
WAYS: dict[str, tuple[str, ...]] = {
    "json": ("json",),
    "json+parquet": ("json", "parquet"),
    "parquet": ("parquet",),
    "arrow": ("arrow",),
}


@dataclass(frozen=True)
class GenerateSettings:
    """What is measured.

    Attributes:
        size: models that our ways generate.
        keras_models: models that are built with Keras, and graph by graph.
        spaces: names of spaces, or their short names.
        folder: where temporary files go; they are removed.
        seed: of the models.
    """

    size: int = 60_000
    keras_models: int = 100
    spaces: tuple[str, ...] = ("skip", "seq")
    folder: Path | None = None
    seed: int = 0


class GenerateRow(NamedTuple):
    """One measurement, of one process.

    Attributes:
        space: name of the space.
        way: ``keras`` (build each model, call ``to_json``), ``graph by graph`` (our graphs, for
            spaces that cannot be assembled array by array), or what is written.
        models: how many.
        seconds: start of the process not included.
        models_per_second: of one core.
        times_keras: beside building with Keras in the same run.
        megabytes: written.
        memory_mb: what the process's memory grew by at most, in MB.
    """

    space: str
    way: str
    models: int
    seconds: float
    models_per_second: float
    times_keras: float
    megabytes: float
    memory_mb: float


class _Measured(NamedTuple):
    models: int
    seconds: float
    num_bytes: int
    memory_bytes: int


def check(settings: GenerateSettings) -> GenerateSettings:
    """Returns the settings, if they can be measured.

    Raises:
        InvalidValueError: a number below 1.
        SpaceError: an unknown space.
        BenchmarkError: the folder is missing, or has not enough room.
    """
    for name in ("size", "keras_models"):
        if getattr(settings, name) < 1:
            raise InvalidValueError(f"{name}={getattr(settings, name)} must be at least 1")
    for space in settings.spaces:
        PopulationDescription.of(1, space=space).make_space()
    folder = Path(settings.folder or tempfile.gettempdir())
    if not folder.is_dir():
        raise BenchmarkError(f"{folder} is no folder; name another one with --folder")
    needed = settings.size * 45_000
    if shutil.disk_usage(folder).free < needed:
        raise BenchmarkError(
            f"{folder} has not the {needed / 1e9:.1f} GB for {settings.size:,} models as JSON; "
            "name another --folder, or a smaller --size"
        )
    return settings


def run_generate_bench(settings: GenerateSettings, progress: Progress) -> list[GenerateRow]:
    """Measures every way in a process of its own, one after the other.

    Args:
        settings: see ``check``.
        progress: called before each step.
    """
    rows: list[GenerateRow] = []
    for share, space, way, models in _steps(settings):
        progress(share, f"{space}, {way}, {models:,} models")
        description = PopulationDescription.of(models, space=space, seed=settings.seed)
        with tempfile.TemporaryDirectory(dir=settings.folder, prefix="parsl-tl-generate-") as out:
            measured = _in_a_process(way, description, Path(out))
        rate = measured.models / measured.seconds
        keras = next((r for r in rows if (r.space, r.way) == (space, "keras")), None)
        rows.append(
            GenerateRow(
                space,
                way,
                measured.models,
                measured.seconds,
                rate,
                rate / keras.models_per_second if keras else 1.0,
                measured.num_bytes / 1e6,
                measured.memory_bytes / 1e6,
            )
        )
    progress(1.0, "done")
    return rows


def _steps(settings: GenerateSettings) -> Iterator[tuple[float, str, str, int]]:
    # A quarter of the models tells whether memory grows with their number.
    sizes = [max(1, settings.size // 4), settings.size]
    count = len(settings.spaces) * (2 + len(WAYS) * len(sizes))
    number = 0
    for space in settings.spaces:
        for way in ("keras", "graph by graph"):
            yield number / count, space, way, settings.keras_models
            number += 1
        for way in WAYS:
            for size in sizes:
                yield number / count, space, way, size
                number += 1


def _in_a_process(way: str, description: PopulationDescription, out: Path) -> _Measured:
    """Measures in a fresh process, so that memory is that of this way alone."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (way, description, out))


def _measure(way: str, description: PopulationDescription, out: Path) -> _Measured:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if way == "keras":
        work = _build_with_keras
    elif way == "graph by graph":
        work = _build_graphs
    else:
        work = partial(_write, out, WAYS[way])
    work(replace(description, size=2))  # libraries are loaded
    before = _peak_memory()
    start = time.perf_counter()
    num_bytes = work(description)
    seconds = time.perf_counter() - start
    return _Measured(description.size, seconds, num_bytes, _peak_memory() - before)


def _write(out: Path, formats: Sequence[str], description: PopulationDescription) -> int:
    return write_part(plan(description, out, formats), 0, 1).bytes


def _graphs(description: PopulationDescription) -> Iterator[Any]:
    space = description.make_space()
    sizes = [len(choice.values) for choice in space.choices()]
    for row in random_sequences(sizes, description.seed, 0, description.size).tolist():
        yield space.build(row, description.input_shape, description.output_shape)


def _build_graphs(description: PopulationDescription) -> int:
    return sum(len(graph.to_json()) for graph in _graphs(description))


def _build_with_keras(description: PopulationDescription) -> int:
    from parsl_tl.benchmarks.keras_building import build_with_keras

    return sum(len(build_with_keras(graph).to_json()) for graph in _graphs(description))


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
