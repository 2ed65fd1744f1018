"""What becomes of the layers that a candidate inherits: one class for each policy.

A policy sees which layers came over and says, stage by stage, which of them stay frozen and how
fast the others learn. One of your own is a class with ``stages``, named ``module:Class``.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from parsl_tl.errors import InvalidValueError
from parsl_tl.imports import make_object, resolve_import_name
from parsl_tl.registry import Registry

ENTRY_POINT_GROUP: Final = "parsl_tl.inheritance"
"""Packages add policies under this entry point group: ``name = "module:attribute"``."""


@dataclass(frozen=True)
class Stage:
    """A part of a training, in which the same layers are frozen.

    Attributes:
        frozen: names of inherited layers that stay as they are.
        epochs: how long it lasts at most; None lasts to the end. It ends before where training
            would stop early, and is passed over where it leaves nothing to train.
        rate: share of the learning rate with which the other inherited layers are trained.
    """

    frozen: tuple[str, ...] = ()
    epochs: int | None = None
    rate: float = 1.0


@runtime_checkable
class Inheritance(Protocol):
    """Says how inherited layers are trained. Policies conform to it; they need not inherit.

    A policy may also have ``transfers`` on its class: with False, nothing is inherited at all. And
    it may have ``keep``: of each weight that came over and is trained, so large a share of its
    value is kept, and the rest is what the layer would have begun with.
    """

    def stages(self, inherited: Sequence[str], depth: int) -> Sequence[Stage]:
        """Returns the stages of a training; one that would begin after its end is left out.

        Args:
            inherited: names of the layers whose weights came over, from the inputs to the outputs.
            depth: number of layers with weights, inherited or not.
        """
        ...


class Freeze:
    """Inherited layers stay as they are.

    Args:
        share: at most this share of all layers with weights; deeper ones are trained.
    """

    def __init__(self, share: float = 1.0) -> None:
        self.share = _fraction("the share of layers that 'freeze' leaves as they are", share)

    def stages(self, inherited: Sequence[str], depth: int) -> list[Stage]:
        """See ``Inheritance.stages``."""
        return [Stage(tuple(inherited[: int(self.share * depth)]))]


class Thaw:
    """Inherited layers are frozen at first, and then trained with the others.

    Args:
        after: epochs for which they are frozen.
        rate: share of the learning rate for them from then on.
    """

    def __init__(self, after: int, rate: float = 1.0) -> None:
        self.after = _epochs("thaw", after)
        self.rate = _fraction("the rate of 'thaw'", rate)

    def stages(self, inherited: Sequence[str], depth: int) -> list[Stage]:
        """See ``Inheritance.stages``."""
        return [Stage(tuple(inherited), self.after), Stage(rate=self.rate)]


class ThawDown:
    """Inherited layers are thawed from the outputs down: at each time half of those still frozen.

    All at once would disturb early layers before late ones fit; one at a time would have the model
    compiled once for each (compare Howard and Ruder, ULMFiT, 2018).

    Args:
        every: epochs between one time and the next.
    """

    def __init__(self, every: int) -> None:
        self.every = _epochs("thaw-down", every)

    def stages(self, inherited: Sequence[str], depth: int) -> list[Stage]:
        """See ``Inheritance.stages``."""
        stages, left = [], len(inherited)
        while left:
            stages.append(Stage(tuple(inherited[:left]), self.every))
            left //= 2
        return [*stages, Stage()]


class Slow:
    """Inherited layers are trained from the start, at a lower learning rate.

    Weight decay of an optimizer that has it is not lowered.

    Args:
        rate: share of the learning rate for them.
    """

    def __init__(self, rate: float = 0.1) -> None:
        self.rate = _fraction("the rate of 'slow'", rate)

    def stages(self, inherited: Sequence[str], depth: int) -> list[Stage]:
        """See ``Inheritance.stages``."""
        return [Stage(rate=self.rate)]


class Shrink:
    """Inherited layers are shrunk towards new ones, and trained with the others from the start.

    Weights that were trained through generations fit the training rows ever closer, and models that
    go on from them are worse on others than models that begin anew. A share of what was learned
    keeps most of the better start without that (Ash and Adams, On Warm-Starting Neural Network
    Training, 2020: shrink and perturb).

    Args:
        keep: share of the inherited value in each weight; the rest is of its initial value.
    """

    def __init__(self, keep: float = 0.9) -> None:
        self.keep = _fraction("the share of weights that 'shrink' keeps", keep)

    def stages(self, inherited: Sequence[str], depth: int) -> list[Stage]:
        """See ``Inheritance.stages``."""
        return [Stage()]


class Scratch:
    """Nothing is inherited; the model is stored all the same."""

    transfers = False

    def stages(self, inherited: Sequence[str], depth: int) -> list[Stage]:
        """See ``Inheritance.stages``."""
        return [Stage()]


_REGISTRY: Final = Registry(
    "inheritance policy",
    ENTRY_POINT_GROUP,
    InvalidValueError,
    {
        "freeze": Freeze,
        "thaw": Thaw,
        "thaw-down": ThawDown,
        "slow": Slow,
        "shrink": Shrink,
        "scratch": Scratch,
    },
)


def list_inheritance_policies() -> list[str]:
    """Returns the names of all policies that are built in or installed, sorted."""
    return _REGISTRY.names()


def read_inheritance(text: str) -> Inheritance:
    """Makes a policy.

    Args:
        text: ``"freeze"``, ``"freeze:0.5"``, ``"thaw:2"``, ``"thaw:2:0.1"``, ``"thaw-down:1"``,
            ``"slow:0.1"``, ``"shrink:0.5"``, ``"scratch"``, or ``"module:Class"`` or
            ``"file.py:Class"``, with the arguments of a class behind further colons.

    Raises:
        InvalidValueError: there is no such policy, or it does not take the arguments.
    """
    name, values = split_policy(text)
    maker = _REGISTRY.find(name)
    what = f"inheritance policy {text!r}"
    if not callable(maker):
        raise InvalidValueError(f"{what} is {maker!r}, which makes nothing")
    names = list(inspect.signature(maker).parameters)
    if len(values) > len(names):
        raise InvalidValueError(
            f"{what} has {len(values)} arguments; {name} takes {', '.join(names) or 'none'}"
        )
    policy = make_object(maker, dict(zip(names, values, strict=False)), what, InvalidValueError)
    if not isinstance(policy, Inheritance):
        raise InvalidValueError(f"{what} made {policy!r}, which has no method 'stages'")
    return policy


def check_stages(policy: Inheritance, stages: Sequence[Stage], inherited: Sequence[str]) -> None:
    """Refuses stages that no training can have.

    Raises:
        InvalidValueError: none, another thing, or a frozen layer that was not inherited.
    """
    name = type(policy).__name__
    if not stages or not all(isinstance(stage, Stage) for stage in stages):
        raise InvalidValueError(f"policy {name} gave {stages!r}; give one or more Stage objects")
    for stage in stages:
        unknown = [one for one in stage.frozen if one not in inherited]
        if unknown:
            raise InvalidValueError(
                f"policy {name} freezes {unknown}, which did not come over; choose among "
                f"{list(inherited)}"
            )


def kept_share(policy: Inheritance) -> float:
    """Returns which share of its value an inherited weight keeps when it begins to be trained.

    Raises:
        InvalidValueError: the policy says what is no share.
    """
    return _fraction(f"keep of policy {type(policy).__name__}", getattr(policy, "keep", 1.0))


def resolve_policy(text: str) -> str:
    """Makes the path of a file in a policy's name absolute."""
    name, _ = split_policy(text)
    return resolve_import_name(name) + text[len(name) :]


def split_policy(text: str) -> tuple[str, list[Any]]:
    """Splits a policy as it is written into its name and its arguments.

    Raises:
        InvalidValueError: it is no text.
    """
    if not isinstance(text, str):
        raise InvalidValueError(f"inherit is {text!r}; it must be a text such as 'thaw:2'")
    parts = text.split(":")
    words = 1 if parts[0] in _REGISTRY else 2
    return ":".join(parts[:words]), [_literal(part) for part in parts[words:]]


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _epochs(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValueError(
            f"inherit is '{name}:{value}'; give a number of epochs of at least 1, as in '{name}:2'"
        )
    return value


def _fraction(what: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise InvalidValueError(f"{what} is {value!r}; it must be a number from 0 to 1")
    return float(value)
