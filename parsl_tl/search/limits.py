"""What a search may take: evaluations, time, losses."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from parsl_tl.errors import InvalidValueError


@dataclass(frozen=True, kw_only=True)
class SearchLimits:
    """The limits of one run of a campaign, whose time runs from when they are made.

    Attributes:
        max_evals: evaluations in all.
        max_seconds: for the search; None for as long as it takes.
        evaluation_timeout: seconds for one evaluation.
        max_losses: how often an evaluation may be lost with its worker, block or executor while no
            other one comes to its end.
    """

    max_evals: int
    max_seconds: float | None = None
    evaluation_timeout: float | None = None
    max_losses: int = 5
    _start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for name in ("max_evals", "max_losses"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InvalidValueError(f"max_seconds={self.max_seconds} must be positive")

    def seconds_left(self) -> int | None:
        """Returns whole seconds, at least one, as DeepHyper takes them; None without a limit."""
        if self.max_seconds is None:
            return None
        return max(1, round(self.max_seconds - (time.monotonic() - self._start)))
