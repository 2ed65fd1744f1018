"""What the benchmarks of whole networks share, before they begin and in their tasks."""

from __future__ import annotations

from typing import Any, Final

from parsl_tl.benchmarks.core.networks import Network, build_network
from parsl_tl.benchmarks.core.room import check_room
from parsl_tl.training.runtime import configure_threads

_ROOM: Final = 1.2
# The model, a copy to compare with, the loaded model, and what loading takes for a moment.
_COPIES: Final = 4


def check_network_room(settings: Any) -> None:
    """Checks the networks of settings, and the room for the largest where it is seen from here.

    Raises:
        InvalidValueError: a network that can never work.
        BenchmarkError: the folder is missing, or it or the memory has not enough room.
    """
    largest = settings.networks.check()
    if settings.where.config is None:
        advice = "a smaller --model or --scale"
        check_room(settings.folder, largest * _ROOM, largest * _COPIES, advice)


def prepare_network(network: Network) -> Any:
    """Builds a network in a task; GPU and framework are set up with it.

    Raises:
        BenchmarkError: it cannot be built.
    """
    configure_threads()
    return build_network(network)
