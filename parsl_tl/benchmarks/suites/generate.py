"""How fast populations are generated, beside building each model with Keras."""

from __future__ import annotations

import itertools
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.benchmarks.core.options import Presets, option
from parsl_tl.benchmarks.core.room import check_room, temporary_folder
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, in_steps, silent
from parsl_tl.benchmarks.core.task_runner import LONGEST_SECONDS
from parsl_tl.population import PopulationDescription, plan, write_part
from parsl_tl.population.draws import random_sequences
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.task_process import TaskProcess

# What is written: formats, joined by "+".
WAYS: Final = ("json", "json+parquet", "parquet", "arrow")
_KERAS, _GRAPHS = "keras", "graph by graph"
_JSON_BYTES = 45_000


@dataclass(frozen=True)
class GenerateSuite(Suite):
    """Spaces x ways to generate a population, each in a process of its own."""

    name = "generate"
    label = "generate"
    text = "generating populations, beside building each model with Keras"
    title = "Generating populations"
    small = ("--quick",)
    description = (
        "Generates populations in one process, as Keras JSON and as tables, and builds some\n"
        "of the models with Keras. Tells how much the process's memory grows, too."
    )
    examples = ("--quick", "--size 60000 --spaces skip --folder /dev/shm")
    PRESETS: ClassVar[Presets] = {
        "quick": ("4,000 models, half a minute", {"size": 4_000, "keras_models": 20})
    }

    size: int = option(60_000, "models", least=1)
    keras_models: int = option(100, "models that are built with Keras, and graph by graph", least=1)
    spaces: tuple[str, ...] = option(("skip", "seq"), "skip, seq, or others", metavar="SPACE")
    folder: Path | None = option(None, "where temporary files go, 40 kB per model (the system's)")
    seed: int = option(0, "of the models", least=0)

    def check(self) -> Self:
        """Refuses unknown spaces, and a folder that is missing or has not enough room."""
        for space in self.spaces:
            PopulationDescription.of(1, space=space).make_space()
        check_room(self.folder, self.size * _JSON_BYTES, 0, "a smaller --size")
        return self

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``generate``: seconds without the start of the process, one core."""
        # A quarter of the models tells whether memory grows with their number.
        sizes = (max(1, self.size // 4), self.size)
        ways = [(way, self.keras_models) for way in (_KERAS, _GRAPHS)]
        ways += list(itertools.product(WAYS, sizes))
        steps = [
            (f"{space}, {way}, {models:,} models", (space, way, models))
            for space, (way, models) in itertools.product(self.spaces, ways)
        ]
        rows: list[Row] = []
        for space, way, models in in_steps(progress, steps):
            description = PopulationDescription.of(models, space=space, seed=self.seed)
            # In a fresh process, so that memory is that of this way alone.
            with temporary_folder(self.folder) as out, TaskProcess() as process:
                measured = process.run(_measure, (way, description, out), LONGEST_SECONDS)
            rate = models / measured["seconds"]
            row = {"space": space, "way": way, "models": models, "seconds": measured.pop("seconds")}
            rows.append({**row, "models_per_second": rate, "times_keras": None, **measured})
        for row in rows:
            keras = next(one for one in rows if one["space"] == row["space"])
            row["times_keras"] = row["models_per_second"] / keras["models_per_second"]
        return {"generate": rows}

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns the rows as people read them."""
        names = {"models_per_second": "models/s", "times_keras": "times Keras"}
        names |= {"megabytes": "MB", "memory_mb": "memory, MB"}
        table = frames["generate"].round(2).rename(columns=names)
        return [("Models generated, one process", table)]

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns models per second, of the largest number of models of each way."""
        rows = frames["generate"]
        frame = rows.pivot_table("models_per_second", "way", "space", "last", sort=False)
        return [Plot("generate", "", frame, "models per second, one process", "barh", "x", "way")]


def _measure(way: str, description: PopulationDescription, out: Path) -> Row:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def work(description: PopulationDescription) -> int:
        """Generates all models; returns bytes."""
        if way not in (_KERAS, _GRAPHS):
            return write_part(plan(description, out, way.split("+")), 0, 1).bytes
        built = _graphs(description)
        whole = map(build_with_keras, built) if way == _KERAS else built
        return sum(len(one.to_json()) for one in whole)

    work(replace(description, size=2))  # libraries are loaded
    before, start = _peak_memory(), time.perf_counter()
    num_bytes = work(description)
    seconds, memory = time.perf_counter() - start, _peak_memory() - before
    return {"seconds": seconds, "megabytes": num_bytes / 1e6, "memory_mb": memory / 1e6}


def _graphs(description: PopulationDescription) -> Iterator[Any]:
    space = description.make_space()
    sizes = [len(choice.values) for choice in space.choices()]
    for row in random_sequences(sizes, description.seed, 0, description.size).tolist():
        yield space.build(row, description.input_shape, description.output_shape)


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def build_with_keras(graph: ArchitectureGraph) -> Any:
    """Builds the ``keras.Model`` with the calls that a user writes; layers have stable names."""
    import keras

    tensors: list[Any] = []
    for layer, name in zip(graph.layers, graph.layer_names, strict=True):
        if layer.is_input:
            shape = layer.config["batch_shape"][1:]
            tensors.append(keras.Input(shape, dtype=layer.config["dtype"], name=name))
            continue
        made = getattr(keras.layers, layer.class_name).from_config({**layer.config, "name": name})
        sources = [tensors[ref.layer] for ref in layer.calls[0].inputs]
        tensors.append(made(sources if len(sources) > 1 else sources[0]))
    return keras.Model(
        [tensors[index] for index in graph.inputs], [tensors[ref.layer] for ref in graph.outputs]
    )
