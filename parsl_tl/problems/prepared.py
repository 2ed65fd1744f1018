"""Problems whose shapes follow from their files."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar

from parsl_tl.errors import ProblemError
from parsl_tl.problems.array_cache import NamedArrays
from parsl_tl.problems.data import Data
from parsl_tl.problems.problem import Problem, check_count, check_fraction

Shape = tuple[int, ...]


class PreparedProblem(Problem):
    """A problem that reads its files once, when its shapes or its data are asked for.

    A subclass defines ``_prepare``, which returns arrays with the names of ``Data``'s arguments
    (``x_train``, ``y_train``, ``x_valid``, ...).
    """

    @abstractmethod
    def _prepare(self) -> NamedArrays:
        """Reads the files, or maps what was kept of them."""

    @cached_property
    def prepared(self) -> NamedArrays:
        """What the files hold; ``ProblemError`` if they cannot be read."""
        try:
            return self._prepare()
        except (ProblemError, MemoryError):
            raise
        except Exception as error:  # an AttributeError would pass for a shape that is not there
            raise ProblemError(
                f"the data of problem {self.name!r} cannot be read: {type(error).__name__}: {error}"
            ) from error

    @cached_property
    def input_shape(self) -> Any:  # type: ignore[override]
        """Shape of one sample."""
        return self.prepared["x_train"].shape[1:]

    def _load(self) -> Data:
        arrays: dict[str, Any] = dict(self.prepared.arrays)
        return Data(**arrays)


class SplitFiles(PreparedProblem):
    """A problem whose files lie in a folder, and of which some rows are split off to judge by.

    Args:
        folder: where the files are; None looks in the data folder.
        validation: share of the training rows; None where the files have a part to judge by.
        seed: of the split.

    Raises:
        ProblemError: an argument is out of range.
    """

    paths: ClassVar[tuple[str, ...]] = ("folder",)

    validation: float | None

    def __init__(self, folder: str | None, validation: float | None, seed: int) -> None:
        super().__init__()
        self.folder = folder
        self.validation = None if validation is None else check_fraction("validation", validation)
        self.seed = check_count("seed", seed, least=0)
