"""Problems: data, what a model of it must look like, and how one is trained and judged."""

from parsl_tl.problems.data import Array, Arrays, Data
from parsl_tl.problems.digits import Digits
from parsl_tl.problems.problem import Problem
from parsl_tl.problems.registry import (
    ENTRY_POINT_GROUP,
    describe_problem,
    get_problem,
    list_problems,
)
from parsl_tl.problems.synthetic import Synthetic
from parsl_tl.problems.table_preprocessing import TablePreprocessing

__all__ = [
    "ENTRY_POINT_GROUP",
    "Array",
    "Arrays",
    "Data",
    "Digits",
    "Problem",
    "Synthetic",
    "TablePreprocessing",
    "describe_problem",
    "get_problem",
    "list_problems",
]
