"""An endpoint of Globus Compute, on whatever machine; needs the extra `globus`.

Unconfirmed with the service. Limits are those of Globus' documentation of August 2026: 10 MB for a
task and for its result, which are kept for 30 minutes when nobody fetches them. So weights are in a
store on servers that the endpoint's workers reach; what a search has lost of its results, the next
try of the same evaluation recalls from there. The endpoint has this package, and the same versions
of Python and Parsl as the driver.
"""

from __future__ import annotations

import parsl

from parsl_tl.errors import ConfigError
from parsl_tl.sites.executor import search_config


def config(
    *,
    endpoint: str = "",
    label: str = "globus",
    max_workers: int = 1,
    account: str | None = None,
    queue: str | None = None,
    walltime: str | None = None,
    nodes_per_block: int | None = None,
    max_workers_per_node: int | None = None,
    worker_init: str | None = None,
    scheduler_options: str | None = None,
    select_options: str | None = None,
    amqp_port: int | None = None,
    run_dir: str = "runinfo",
    retries: int = 2,
) -> parsl.Config:
    """Returns the configuration; nothing is sent to the endpoint yet.

    Args:
        endpoint: its id, a UUID.
        label: of the executor.
        max_workers: tasks that it is given at a time.
        account: this, and what follows up to ``select_options``, is for endpoints of several users,
            whose administrators say which of them they take.
        queue: see ``account``.
        walltime: see ``account``.
        nodes_per_block: see ``account``.
        max_workers_per_node: see ``account``.
        worker_init: see ``account``.
        scheduler_options: see ``account``.
        select_options: see ``account``.
        amqp_port: that results come through; 443 where a site lets no other one out.
        run_dir: where Parsl writes its logs.
        retries: how often a task is tried again when its worker is lost.
    """
    if not endpoint:
        raise ConfigError("globus: give the endpoint's id, as in -o endpoint=UUID")
    try:
        from globus_compute_sdk import Executor
    except ImportError as error:
        raise ConfigError(
            "globus: `pip install globus-compute-sdk` first, or the extra `globus`"
        ) from error
    from parsl_tl.sites.globus import EndpointExecutor

    given = {
        "account": account,
        "queue": queue,
        "walltime": walltime,
        "nodes_per_block": nodes_per_block,
        "max_workers_per_node": max_workers_per_node,
        "worker_init": worker_init,
        "scheduler_options": scheduler_options,
        "select_options": select_options,
    }
    sender = Executor(
        endpoint_id=endpoint,
        user_endpoint_config={name: value for name, value in given.items() if value is not None},
        amqp_port=amqp_port,
    )
    return search_config(EndpointExecutor(sender, label, max_workers), run_dir, retries)
