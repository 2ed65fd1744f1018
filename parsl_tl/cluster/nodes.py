"""Which nodes of a configuration get a store's servers, and how these are reached there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from parsl_tl.cluster.plan import TCP
from parsl_tl.errors import ConfigError
from parsl_tl.store.connection import FLIGHT_SCHEMES, is_thallium
from parsl_tl.store.transports import has_thallium

if TYPE_CHECKING:
    import parsl


def serving_executors(config: parsl.Config) -> list[Any]:
    """Returns the executors of a configuration that can have a server on each of their nodes.

    Raises:
        ConfigError: there is none, or it was started.
    """
    from parsl.executors import HighThroughputExecutor

    found = [
        executor
        for executor in config.executors
        if isinstance(executor, HighThroughputExecutor)
        and not getattr(executor, "enable_mpi_mode", False)
    ]
    if not found:
        labels = ", ".join(executor.label for executor in config.executors)
        raise ConfigError(
            f"no executor of the configuration ({labels}) has pools of workers that a store's "
            "servers could be beside; use a HighThroughputExecutor, or start servers yourself: "
            "parsl-tl store serve"
        )
    started = [executor.label for executor in found if getattr(executor, "run_id", None)]
    if started:
        raise ConfigError(
            f"executor {started[0]} was started already: make the StoreCluster before parsl.load"
        )
    return found


def pools_for(executors: list[Any], servers: int | None) -> int:
    """Returns the number of servers, with the blocks that they need set to start and stay.

    Args:
        executors: see ``serving_executors``.
        servers: how many are wanted; None for one on each node that starts anyway.

    Raises:
        ConfigError: there are fewer nodes.
    """
    blocks = {one.label: _blocks(one, "init_blocks") for one in executors}
    nodes = {one.label: max(1, int(one.provider.nodes_per_block)) for one in executors}
    started = sum(nodes[label] * count for label, count in blocks.items())
    count = max(1, started) if servers is None else servers
    missing = count - started
    for one in executors:
        room = _blocks(one, "max_blocks") - blocks[one.label]
        more = min(room, math.ceil(max(0, missing) / nodes[one.label]))
        blocks[one.label] += more
        missing -= more * nodes[one.label]
    if missing > 0:
        raise ConfigError(
            f"{count} servers need {count} nodes, and the configuration has {count - missing}; "
            "give nodes_per_block or max_blocks, or fewer servers"
        )
    for one in executors:
        # Parsl would end blocks that have no tasks, as while others are in the queue.
        one.provider.init_blocks = blocks[one.label]
        one.provider.min_blocks = max(int(one.provider.min_blocks), blocks[one.label])
    return count


def choose_transport(
    executors: list[Any], scheme: str | None, interface: str | None
) -> tuple[str, tuple[str, ...]]:
    """Returns the scheme of servers, and the interfaces to listen on.

    Within one job, that is the machine's fabric. Between jobs, and from a login node, only TCP is
    sure to pass, on the way that workers take to the driver.

    Args:
        executors: see ``serving_executors``.
        scheme: that is wanted, or None.
        interface: that is wanted, or None.

    Raises:
        ConfigError: the scheme cannot be served between nodes.
    """
    from parsl.providers import LocalProvider

    machines = [getattr(one, "machine", None) for one in executors]
    machine = machines[0] if all(one == machines[0] for one in machines) else None
    inside = all(isinstance(one.provider, LocalProvider) for one in executors)
    fabric = machine.fabric if machine is not None and inside and has_thallium() else None
    interfaces = machine.interfaces if machine is not None and inside else ()
    chosen = scheme or fabric or TCP
    if chosen in ("grpc+unix", "na+sm", "grpc+tls") or not (
        chosen in FLIGHT_SCHEMES or is_thallium(chosen)
    ):
        raise ConfigError(
            f"scheme={chosen!r}: servers on nodes are reached by grpc+tcp, or by Thallium's "
            "ofi+tcp, ofi+verbs or ofi+cxi"
        )
    if is_thallium(chosen) and not has_thallium():
        raise ConfigError(
            f"scheme={chosen!r} needs Thallium, which was not found when parsl_tl was compiled; "
            "use grpc+tcp"
        )
    return chosen, ((interface,) if interface else interfaces)


def _blocks(executor: Any, which: str) -> int:
    return int(getattr(executor.provider, which))
