"""The batch script of a block, as Parsl would submit it; and one with the driver inside."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from parsl_tl.errors import ConfigError

_MARKS = ("#PBS", "#SBATCH", "#BSUB")
_WRITERS = ("_write_submit_script", "_create_pod")  # of Parsl's providers
_FOLDER = "<script_dir>"


class _NotSubmitted(Exception):  # noqa: N818 - it is no error
    """Ends the submission of a block where its script would be written."""


class _LaterValues(dict[str, Any]):
    """What is known once the executor has started stands in angle brackets."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def block_script(executor: Any) -> str:
    """Returns the script of an executor's first block; nothing is submitted.

    Raises:
        ConfigError: its blocks are no scripts.
    """
    provider = executor.provider
    found: list[str] = []

    def write(text: str = "", *rest: Any, **pod: Any) -> None:
        if pod:  # of Kubernetes
            text = f"# pod of image {pod['image']}\n{pod['cmd_string']}"
        elif rest and isinstance(rest[-1], Mapping):  # of a scheduler: template, file, name, values
            text = Template(text).substitute(jobname=rest[1], **rest[-1])
        found.append(text)
        raise _NotSubmitted

    writers = [name for name in _WRITERS if hasattr(provider, name)]
    if not writers:
        raise ConfigError(f"blocks of a {type(provider).__name__} have no script")
    folder = getattr(provider, "script_dir", None)
    provider.script_dir = _FOLDER
    setattr(provider, writers[0], write)
    try:
        provider.submit(_pool_command(executor), 1, f"parsl.{executor.label}.block-0")
    except _NotSubmitted:
        script = found[0].replace(f"{Path.cwd()}/{_FOLDER}", _FOLDER)
        return re.sub(r"(\.block-0)\.[\d.]*\d", r"\1", script)  # which has the time in its name
    finally:
        delattr(provider, writers[0])
        provider.script_dir = folder
    raise ConfigError(f"a {type(provider).__name__} writes no script")


def _pool_command(executor: Any) -> str:
    known = {
        "debug": "",
        "max_workers_per_node": f"--max_workers_per_node={executor.max_workers_per_node}",
        "addresses": executor.address or "<addresses>",
        "prefetch_capacity": executor.prefetch_capacity,
        "cores_per_worker": executor.cores_per_worker,
        "mem_per_worker": executor.mem_per_worker,
        "poll_period": executor.poll_period,
        "heartbeat_period": executor.heartbeat_period,
        "heartbeat_threshold": executor.heartbeat_threshold,
        "drain_period": executor.drain_period,
        "cpu_affinity": executor.cpu_affinity,
        "enable_mpi_mode": "",
        "mpi_launcher": executor.mpi_launcher,
        "address_probe_timeout_string": "",
        "accelerators": " ".join(executor.available_accelerators),
    }
    return str(executor.launch_cmd.format_map(_LaterValues(known)).format(block_id=0))


def driver_script(executor: Any, lines: Sequence[str]) -> str:
    """Returns a script for the scheduler that runs a driver inside of its job.

    It asks for what a block would. The driver starts workers itself, on the job's nodes.

    Args:
        executor: of the configuration with which blocks would be submitted.
        lines: what the job runs.

    Raises:
        ConfigError: see ``block_script``.
    """
    block = block_script(executor).splitlines()
    asked = [line for line in block if line.split(" ")[0] in _MARKS and not _is_of_a_file(line)]
    if not asked:
        raise ConfigError(f"executor {executor.label!r} submits no jobs")
    folder = ['cd "$PBS_O_WORKDIR"'] if asked[0].startswith("#PBS") else []
    return "\n".join(["#!/bin/bash", *asked, "", *folder, *lines, ""])


def served_store(data: str, kept: str, command: Sequence[str]) -> list[str]:
    """Returns lines that run a command with a store on a disk of the job's first node.

    A copy is brought there before, and taken away after. What the store got after the last copy
    is lost with a job that is killed.

    Args:
        data: the store's folder, on that disk.
        kept: the copy's folder, on a file system that stays; the server's address file and token
            are beside it.
        command: gets the store as its ``--store``.
    """
    data, copy, new = map(shlex.quote, (data, kept, f"{kept}.new"))
    address, token = map(shlex.quote, (f"{kept}.address", f"{kept}.token"))
    return [
        f"rm -rf {data} {address} {new}",
        f"mkdir -p $(dirname {data}) $(dirname {copy})",
        f"[ ! -e {copy} ] || cp -a {copy} {data}",
        f'parsl-tl store serve "grpc+tcp://$(hostname):0" --data {data} --token-file {token} '
        f"--address-file {address} &",
        "SERVER=$!",
        f"while kill -0 $SERVER && [ ! -e {address} ]; do sleep 0.2; done",
        f"{shlex.join(command)} --store {address}",
        "CODE=$?",
        f"parsl-tl store stop {address}",
        "wait $SERVER",
        f"cp -a {data} {new} && rm -rf {copy} && mv {new} {copy}",
        "exit $CODE",
    ]


def _is_of_a_file(line: str) -> bool:
    """Whether a line names the block's output or the block itself."""
    words = line.split()
    return any(word.startswith(("--output", "--error", "--job-name")) for word in words) or words[
        1:2
    ] in (["-o"], ["-e"], ["-N"], ["-J"])
