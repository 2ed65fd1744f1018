"""From architecture sequences to graphs and Keras JSON, thousands at a time, for any space."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from parsl_tl.population.flat_graphs import FlatGraphs


class Assembler(ABC):
    """Assembles architectures of one space, for inputs and outputs of fixed shapes.

    Attributes:
        class_names: Keras classes; ``FlatGraphs.class_ids`` are indices into it. It may grow with
            every call.
    """

    class_names: list[str]

    def impossible(self, arch_seqs: NDArray[np.integer]) -> dict[int, str]:
        """Returns why architectures cannot exist, by the numbers of their rows; all can by default.

        Args:
            arch_seqs: [n, choices], every index within its choice.
        """
        return {}

    @abstractmethod
    def assemble(self, arch_seqs: NDArray[np.integer]) -> FlatGraphs:
        """Assembles architectures; keep it to some thousands, as all are in memory.

        Args:
            arch_seqs: [n, choices], every index within its choice.
        """

    @abstractmethod
    def assemble_with_json(self, arch_seqs: NDArray[np.integer]) -> tuple[FlatGraphs, bytes]:
        """As ``assemble``; also returns the Keras JSON of each, one line of ASCII per model."""
