"""The folder of a search of any length, written by the project's own writers, without training.

Mutations, tournaments, workers' clocks and failures are those of a search; what a network would
have learned is drawn. As a program: ``python long_run.py FOLDER EVALUATIONS``.
"""

from __future__ import annotations

import contextlib
import heapq
import shutil
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from parsl_tl.reporting.machine import write_machine_facts
from parsl_tl.search.candidate import candidate_config
from parsl_tl.search.journal import Journal
from parsl_tl.search.settings import CampaignSettings
from parsl_tl.spaces import get_space

START_NS = 1_790_000_000_000_000_000
FAILURES = (
    ("NaNLoss", "NaNLossError: training diverged: the loss is nan in epoch 2"),
    ("OutOfMemory", "ResourceExhaustedError: failed to allocate memory for {} MB"),
)


class _Clocked(Journal):
    """A journal whose events are of the simulated time."""

    now = START_NS

    def _write(self, event: dict[str, Any]) -> None:
        super()._write({**event, "time_ns": self.now})


def write_long_run(
    folder: Path,
    evaluations: int,
    *,
    workers: int = 8,
    seed: int = 0,
    unfinished: int = 0,
    failing: float = 0.03,
    **settings: Any,
) -> CampaignSettings:
    """Writes a run folder.

    Args:
        folder: is made.
        evaluations: finished ones.
        workers: two to a node.
        seed: of everything.
        unfinished: evaluations that were submitted last and have not ended.
        failing: share of evaluations that fail.
        **settings: of the campaign.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = CampaignSettings(
        **{
            "problem": "digits",
            "space": "dense-skip",
            "seed": seed,
            "max_evals": evaluations + unfinished,
            "uid": f"{seed:016x}",
            **settings,
        }
    )
    own.write(folder / "config.json")
    write_machine_facts(folder)
    choices = get_space(own.space, **own.space_args).choices()
    names, sizes = [choice.name for choice in choices], [len(choice.values) for choice in choices]
    rng = np.random.default_rng(seed)
    ideal = rng.integers(sizes)
    population: deque[tuple[float, int, Any]] = deque(maxlen=own.population_size)
    running: list[tuple[int, int, int, dict[str, Any], Any]] = []
    free = [(START_NS + 9_000_000_000 + 400_000_000 * slot, slot) for slot in range(workers)]
    heapq.heapify(free)
    started = set()

    with contextlib.closing(_Clocked(folder / "journal.jsonl")) as journal:
        for job in range(evaluations + unfinished):
            if len(running) == workers:
                _finish(journal, heapq.heappop(running), population, free)
            ready, slot = heapq.heappop(free)
            parent = None
            arch_seq = rng.integers(sizes)
            if len(population) == population.maxlen:
                drawn = rng.integers(len(population), size=own.sample_size)
                _, parent, arch = max((population[i] for i in drawn), key=lambda one: one[0])
                arch_seq, place = arch.copy(), int(rng.integers(len(sizes)))
                arch_seq[place] = rng.integers(sizes[place])
            config = candidate_config(
                names,
                arch_seq.tolist(),
                job=job,
                model_id=own.model_id(job),
                parent=parent,
                from_scratch=parent is None,
            )
            journal.now = ready
            journal.submitted(config)
            figures = _figures(rng, arch_seq, ideal, config, slot, slot not in started)
            started.add(slot)
            seconds = figures["metadata"]["seconds_total"]
            figures["metadata"]["started_ns"] = ready + 4_000_000
            figures["metadata"]["ended_ns"] = ready + 4_000_000 + int(seconds * 1e9)
            if rng.random() < failing:
                reason, text = FAILURES[int(rng.integers(len(FAILURES)))]
                text = text.format(int(rng.integers(100, 4000)))
                figures["objective"] = f"F_{reason}"
                figures["metadata"].update(error=text, traceback=f"Traceback ...\n{text}\n")
            end = int(figures["metadata"]["ended_ns"]) + 6_000_000
            heapq.heappush(running, (end, slot, job, config, (figures, arch_seq)))
        while len(running) > unfinished:
            _finish(journal, heapq.heappop(running), population, free)
    return own


def _finish(journal: _Clocked, one: Any, population: Any, free: Any) -> None:
    end, slot, _, config, (figures, arch_seq) = one
    journal.now = end
    told = figures["metadata"]
    begin = told["started_ns"] - 3_000_000
    stages = [["propose", begin], ["submit", begin + 10**6], ["queue", begin + 2 * 10**6]]
    stages += [["task", told["started_ns"], {"site": f"site{slot % 2}"}], ["report", end]]
    so_far = {"trace": f"{config['model_id']:032x}", "stages": stages}
    journal.finish(config, figures["objective"], told, so_far)
    heapq.heappush(free, (end, slot))
    if isinstance(figures["objective"], float):
        population.append((figures["objective"], config["model_id"], arch_seq))


def _figures(
    rng: np.random.Generator, arch_seq: Any, ideal: Any, config: Any, slot: int, first: bool
) -> dict[str, Any]:
    """Draws what an evaluation reports."""
    parent = config["parent"]
    alike = float((arch_seq == ideal).mean() - np.abs(arch_seq - ideal).mean() / 40)
    objective = float(np.clip(0.9 + 0.1 * alike + rng.normal(0, 0.004), 0, 0.999))
    layers = int(rng.integers(9, 22))
    share = 0.0 if parent is None else float(rng.beta(3, 1.4))
    transferred = round(layers * share)
    size = int(rng.integers(40_000, 400_000)) * 4
    steps = {
        "start": 6.0 * first,
        "load": 0.4 * first + 0.001,
        "build": float(rng.gamma(4, 0.01)),
        "transfer": 0.0 if parent is None else float(rng.gamma(3, 0.006)),
        "train": float(rng.gamma(6, 0.25)) * (1 - 0.5 * share),
        "prefix": 0.0,
        "store": float(rng.gamma(3, 0.004)),
    }
    total = sum(steps.values()) + 0.02
    curve = np.round(objective - 0.2 / (1 + np.arange(8)), 5).tolist()
    return {
        "objective": objective,
        "metadata": {
            "model_id": config["model_id"],
            "parent": parent,
            "donor": parent if transferred else None,
            "epochs": 8,
            "best_epoch": 8,
            "parameters_total": size // 4,
            "layers": layers + 5,
            "layers_total": layers,
            "layers_matched": transferred + 3 if transferred else 0,
            "layers_transferred": transferred,
            "bytes_total": size,
            "bytes_transferred": int(size * share),
            "bytes_stored": int(size * (1 - share)),
            **{f"seconds_{name}": round(value, 6) for name, value in steps.items()},
            "seconds_total": round(total, 6),
            "seconds_cpu": round(total * 0.93, 6),
            "recalled": False,
            "worker": f"node{slot // 2:03}:{4000 + slot}",
            "slot": f"{slot // 16}/pool{slot // 2:03}/{slot % 2}",
            "gpu": None,
            "steps": [[name, 10**7 * number] for number, name in enumerate(3 * [*steps])],
            "history": {"val_accuracy": curve, "val_loss": [round(1 - v, 5) for v in curve]},
        },
    }


class GrowingRun:
    """A copy of a run whose journal grows when it is told to."""

    def __init__(self, folder: Path, target: Path) -> None:
        shutil.copy(folder / "config.json", target)
        self.folder = target
        self.lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
        self.end = 0

    def grow(self, count: int) -> None:
        """Adds lines, or as many as are left."""
        with (self.folder / "journal.jsonl").open("ab") as file:
            file.writelines(self.lines[self.end : self.end + count])
        self.end += count


if __name__ == "__main__":
    write_long_run(Path(sys.argv[1]), int(sys.argv[2]), workers=64)
