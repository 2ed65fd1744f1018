"""Configurations whose machine is told by options of their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from parsl_tl.sites.machine import Machine

if TYPE_CHECKING:
    import parsl


def with_machine_options(describe: Callable[..., Machine]) -> Callable[..., parsl.Config]:
    """Turns a function that describes a machine into one that makes its configuration.

    Args:
        describe: takes keyword arguments, and returns the machine.

    Returns:
        A function ``config``, which takes those of ``Machine.config`` as well.
    """
    own = inspect.signature(describe).parameters
    others = inspect.signature(Machine.config).parameters
    both = [*own.values(), *(others[name] for name in others if name not in own)]

    def machine(**options: Any) -> Machine:
        return describe(**{name: value for name, value in options.items() if name in own})

    @functools.wraps(describe)
    def config(**options: Any) -> parsl.Config:
        rest = {name: value for name, value in options.items() if name not in own}
        return machine(**options).config(**rest)

    told: Any = config
    told.machine = machine
    told.__signature__ = inspect.Signature(
        [parameter for parameter in both if parameter.name != "self"]
    )
    return config
