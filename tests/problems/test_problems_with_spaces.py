"""Every built-in problem with every built-in space: networks are built and trained, or refused.

With ``--full``, 50 architectures of each pair are trained in place of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from parsl_tl.errors import ProblemError, SpaceError
from parsl_tl.problems import Problem, get_problem, list_problems
from parsl_tl.problems.made_data import make_data
from parsl_tl.spaces import SearchSpace, get_space, list_spaces
from parsl_tl.spaces.shapes import input_shapes
from parsl_tl.training.space_trial import SpaceTrial, try_space

VECTORS = {"dense-skip", "feed-forward", "one-layer"}
SERIES = {"conv-cells", "lenet", "nt3"}
IMAGES = {*SERIES, "nasbench201"}
# By the problem: its arguments beside its files, and the spaces for it.
PROBLEMS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "attn": ({}, VECTORS),
    "cifar10": ({}, IMAGES),
    "combo": ({}, VECTORS),
    "csv": ({"target": "price"}, VECTORS),
    "digits": ({}, VECTORS),
    "digits of 8 x 8": ({"flat": False}, IMAGES),
    "fashion-mnist": ({}, IMAGES),
    "images": ({"size": [12, 12]}, IMAGES),
    "khan": ({}, VECTORS),
    "khan as a series": ({"flat": False}, SERIES),
    "mnist": ({}, IMAGES),
    "mnist as vectors": ({"flat": True}, VECTORS),
    # A table has results of one space's networks, and no images to train others with.
    "nasbench201": ({}, {"nasbench201"}),
    "npz": ({}, VECTORS),
    "nt3": ({}, SERIES),
    "synthetic": ({"rows": 600}, VECTORS),
    "uno": ({}, {*VECTORS, "uno"}),
}
# Spaces with arguments for a problem, beside all spaces without.
ARGUMENTS = {
    ("attn", "dense-skip"): [{"subnetworks": True, "size": "small"}],
    ("combo", "dense-skip"): [{"subnetworks": True, "size": "small", "num_inputs": 3}],
    ("nt3", "nt3"): [{"size": "large"}],
    ("uno", "dense-skip"): [{"subnetworks": True, "num_inputs": 4}],
}
# The published networks are deep.
SMALL = {"nasbench201": {"num_cells": 1, "channels": 4}}
MADE = {
    **{"attn": 60, "cifar10": None, "combo": 60, "fashion-mnist": None, "khan": 100},
    **{"mnist": None, "nt3": 200, "uno": 60},
}
# What differs from another pair in its data alone is left to --full.
ALIKE = {"mnist", "mnist as vectors", "khan as a series"}
FITTING = [
    pytest.param(
        *(problem, space, arguments),
        id=f"{problem}-{space}{'-' if arguments else ''}{'-'.join(arguments)}",
        marks=[pytest.mark.full] if problem in ALIKE else [],
    )
    for problem, (_, spaces) in PROBLEMS.items()
    for space in sorted(spaces)
    for arguments in [{}, *ARGUMENTS.get((problem, space), ())]
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files of all problems that need some, in the folder where they are looked for."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, columns in MADE.items():
        make_data(name, folder / name, 140, columns)
    for number in range(20):
        path = folder / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (14, 14, 3)).astype(np.uint8)).save(path)
    np.savez(folder / "rows.npz", x_train=random.random((60, 7)), y_train=np.arange(60) % 3)
    lines = [f"{x},{'red' if x > 0 else 'blue'},{2 * x}" for x in random.normal(size=60)]
    (folder / "table.csv").write_text("\n".join(["size,colour,price", *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARSL_TL_DATA", str(folder))
        yield folder


def problem_of(key: str, files: Path) -> Problem:
    name = key.split()[0]
    places = {
        "csv": {"file": str(files / "table.csv")},
        "npz": {"file": str(files / "rows.npz")},
        "images": {"folder": str(files / "images")},
    }
    return get_problem(name, **places.get(name, {}), **PROBLEMS[key][0])


def test_all_that_is_built_in_is_tried() -> None:
    assert {key.split()[0] for key in PROBLEMS} == set(list_problems())
    assert {pair.values[1] for pair in FITTING} == set(list_spaces())


@pytest.mark.slow
@pytest.mark.parametrize(("key", "space", "arguments"), FITTING)
def test_networks_are_built_and_trained(
    key: str, space: str, arguments: dict[str, Any], files: Path, request: pytest.FixtureRequest
) -> None:
    problem = problem_of(key, files)
    full = request.config.getoption("--full")
    # Only images of a few pixels are smaller than kernels and pools.
    may_not_exist = input_shapes(problem.input_shape)[0][0] < 15 and space in SERIES
    draws = 50 if full else 3 if may_not_exist else 1
    small = {} if full else SMALL.get(space, {})
    trial = try_space(problem, get_space(space, **(arguments or small)), draws)
    possible = draws - trial.impossible.total()
    assert trial == SpaceTrial(draws, possible, possible, trial.impossible)
    assert possible == draws or (may_not_exist and possible > 0)


@pytest.mark.parametrize("key", PROBLEMS)
def test_other_spaces_say_what_they_take(key: str, files: Path) -> None:
    problem, spaces = problem_of(key, files), PROBLEMS[key][1]
    for name in set(list_spaces()) - spaces:
        space = get_space(name)
        first = [0] * len(space.choices())
        with pytest.raises((SpaceError, ProblemError), match=r"takes|use the space nasbench201"):
            fit(problem, space, first)


def fit(problem: Problem, space: SearchSpace, arch_seq: list[int]) -> None:
    space.build(arch_seq, problem.input_shape, problem.output_heads())
    problem.look_up(space, arch_seq)
