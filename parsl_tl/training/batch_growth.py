"""Batches that grow while a candidate is trained: late steps are few and large.

A larger batch does for the noise of the gradient what a lower learning rate does, in fewer steps
that keep a GPU busier (Smith, Kindermans, Ying and Le, "Don't Decay the Learning Rate, Increase the
Batch Size", ICLR 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

from parsl_tl.errors import InvalidValueError


class Span(NamedTuple):
    """Epochs with batches of one size."""

    first: int  # index of its first epoch
    epochs: int
    batch_size: int


@dataclass(frozen=True)
class BatchGrowth:
    """How the batch size grows; the learning rate stays what its schedule says.

    Attributes:
        factor: what the size is multiplied with, above 1.
        every: epochs between one growth and the next.
        largest: size that is not exceeded; None grows to all rows.
    """

    factor: float
    every: int = 1
    largest: int | None = None

    @classmethod
    def read(cls, text: str | float) -> Self:
        """Reads ``"2"``, ``"2:3"`` (every three epochs) or ``"2:3:1024"`` (up to 1,024 rows).

        Raises:
            InvalidValueError: another text, or numbers that can never work.
        """
        parts = str(text).split(":")
        try:
            factor, numbers = float(parts[0]), [int(part) for part in parts[1:]]
        except ValueError:
            factor, numbers = 0.0, []
        if not 1 < factor < 1e6 or len(parts) > 3 or any(number < 1 for number in numbers):
            raise InvalidValueError(
                f"batch_growth is {text!r}; give FACTOR, FACTOR:EPOCHS or FACTOR:EPOCHS:LARGEST, "
                "with a factor above 1, such as 2:3:1024, which doubles the batches every 3 epochs"
            )
        return cls(factor, *numbers)

    def spans(self, batch_size: int, rows: int, first: int, epochs: int) -> Iterator[Span]:
        """Yields epochs in their order, those with batches of one size together.

        Args:
            batch_size: of the first epoch of the training.
            rows: of the data, which no batch exceeds.
            first: index of the first epoch.
            epochs: number of epochs.
        """
        limit = max(batch_size, min(rows, self.largest or rows))
        begin, end = first, first + epochs
        while begin < end:
            grown = begin // self.every
            # A power of a large number of epochs is more than a float can be.
            size = batch_size
            for _ in range(grown):
                if size >= limit:
                    break
                size = min(limit, max(size + 1, round(size * self.factor)))
            last = end if size >= limit else min(end, (grown + 1) * self.every)
            yield Span(begin, last - begin, size)
            begin = last
