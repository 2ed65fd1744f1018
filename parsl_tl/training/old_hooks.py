"""Trainers of an earlier release, which say by ``thaw_after`` and ``thaw`` what changes when."""

from __future__ import annotations

from typing import Any, Final

from parsl_tl.deprecation import warn_renamed
from parsl_tl.training.inheritance import Stage

_THAWED: Final = Stage()


def stages_from_thaw_after(cls: Any) -> None:
    """Gives a trainer that has ``thaw_after`` the ``stages`` that it means, with a warning."""
    warn_renamed(f"{cls.__name__}.thaw_after", "stages and enter", 3)
    cls.stages, cls.enter = _stages, _enter


def _stages(self: Any, model: Any) -> list[Stage]:
    after = self.thaw_after()
    if after is None:
        return [Stage(epochs=self.config.epochs)]
    return [Stage(epochs=after), _THAWED] if after else [_THAWED]


def _enter(self: Any, stage: Stage, model: Any, epoch: int) -> dict[int, float]:
    if stage is _THAWED:
        self.thaw(model, epoch)
    return {}
