"""Combo (CANDLE, Pilot 1): how a cell line grows under a pair of drugs."""

from __future__ import annotations

from typing import ClassVar

from parsl_tl.problems.several_inputs import SeveralInputs


class Combo(SeveralInputs):
    """Growth of 276,112 samples, from 942 gene expressions and 3,839 descriptors of each drug.

    220,890 rows are trained with and 55,222 validated with; numbers of rows and widths are the
    files'. Loss is the mean squared error. For files and arguments see ``SeveralInputs``.
    """

    name: ClassVar[str] = "combo"
    num_inputs = 3

    epochs = 20
    batch_size = 256
    learning_rate = 1e-3
