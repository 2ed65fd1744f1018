"""Uno (CANDLE, Pilot 1): how a cell line responds to a dose of a drug."""

from __future__ import annotations

from typing import ClassVar

from parsl_tl.problems.several_inputs import SeveralInputs


class Uno(SeveralInputs):
    """Response of 9,588 and 2,397 samples, from four inputs.

    They are a dose, 942 gene expressions, 5,270 descriptors and 2,048 fingerprint bits of a drug;
    numbers of rows and widths are the files'. Loss is the mean absolute error. For files and
    arguments see ``SeveralInputs``; that Uno is published in the same form is unconfirmed.
    """

    name: ClassVar[str] = "uno"
    num_inputs = 4

    loss = "mae"
    epochs = 20
    batch_size = 32
    learning_rate = 1e-3
