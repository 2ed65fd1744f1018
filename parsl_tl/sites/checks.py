"""Whether this machine has what a configuration needs; nothing is submitted."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from parsl_tl.reporting.sizes import counted
from parsl_tl.sites.gpus import own_gpus
from parsl_tl.sites.machine import Machine
from parsl_tl.worker_pool import COMMAND

# Threads of a driver, with what Parsl starts beside it, and room.
_ENOUGH_THREADS = 100
# File systems of a node alone; those of a cluster are many more.
_NODE_LOCAL = frozenset(
    ("tmpfs", "ramfs", "overlay", "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "squashfs")
)
_BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}


class Finding(NamedTuple):
    """What a check came to.

    Attributes:
        text: what was found.
        remedy: what to do; None where all is well.
    """

    text: str
    remedy: str | None = None


def check_machine(machine: Machine, options: dict[str, Any], out: str) -> Iterator[Finding]:
    """Looks at the machine that this process runs on.

    Args:
        machine: that it should be.
        options: of the configuration.
        out: folder of the campaign.
    """
    yield from _commands(machine)
    yield from _interface(machine, options.get("address"))
    yield from _modules([*machine.setup, str(options.get("worker_init") or "")])
    yield from _backend()
    if options.get("inside_job"):
        yield _nodes(machine)
        yield _gpus()
    if not options.get("inside_job") or machine.scheduler.nodes_of_job() != 1:
        yield _file_system(Path(out))
    yield _threads()


def check_pool() -> Finding:
    """Whether blocks find the program of their workers."""
    found = shutil.which(COMMAND, path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if found:
        return Finding(f"blocks start {found}")
    return Finding(
        f"there is no {COMMAND} beside {sys.executable}",
        "install this package into the environment that the driver runs in",
    )


def check_store(uri: str, open_store: Callable[[str], Any]) -> Finding:
    """Whether a store answers.

    Args:
        uri: of the store.
        open_store: opens it.
    """
    from parsl_tl.errors import ParslTLError

    try:
        with open_store(uri):
            return Finding(f"the store {uri} answers")
    except ParslTLError as error:
        return Finding(f"the store {uri}: {error}", "start its servers, or give another --store")


def check_store_folder(folder: Path) -> Finding:
    """Whether the store of a campaign may lie in its folder."""
    kind = file_system(folder)
    if kind is None or kind in _NODE_LOCAL:
        return Finding(f"a store in {folder.absolute()} is for workers of this node")
    return Finding(
        f"{folder.absolute()} is on {kind}: a store cannot lie there",
        "serve one from a node's own disk (--store; parsl-tl configs script --store-data), or keep "
        "models as files there: parsl-tl search --transfer safetensors",
    )


def _commands(machine: Machine) -> Iterator[Finding]:
    for command in machine.scheduler.commands:
        if path := shutil.which(command):
            yield Finding(f"the scheduler's {command} is {path}")
        else:
            yield Finding(
                f"the scheduler's {command} is not found",
                f"is this a login node of {machine.name}? The configuration is for there",
            )


def _interface(machine: Machine, address: str | None) -> Iterator[Finding]:
    import psutil

    if address:
        yield Finding(f"workers connect to {address}, as given")
    elif not machine.interfaces:
        yield Finding("workers try all addresses of this machine")
    elif found := machine.address():
        yield Finding(f"workers connect to {found}")
    else:
        yield Finding(
            f"there is no network interface {' or '.join(machine.interfaces)}; workers try all "
            "addresses of this machine",
            "give the address that compute nodes reach, as in -o address=ADDRESS; there are "
            f"{', '.join(sorted(psutil.net_if_addrs()))}",
        )


def _modules(lines: list[str]) -> Iterator[Finding]:
    if not any("module " in line for line in lines):
        return
    # Both systems of modules set variables where their shell function is defined.
    if any(name in os.environ for name in ("LMOD_CMD", "MODULESHOME", "BASH_FUNC_module%%")):
        yield Finding("there are modules here")
    else:
        yield Finding(
            "the job's first lines load modules, and there are none here",
            "start from a login shell (bash -l), or copy the configuration and change its `setup`",
        )


def _backend() -> Iterator[Finding]:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if importlib.util.find_spec(_BACKENDS.get(backend, backend)):
        yield Finding(f"Keras' backend {backend} is installed")
    else:
        yield Finding(
            f"Keras' backend {backend} is not installed in {sys.prefix}",
            f"install it, or set KERAS_BACKEND to one of {', '.join(_BACKENDS)} that is",
        )


def _nodes(machine: Machine) -> Finding:
    nodes = machine.scheduler.nodes_of_job()
    if nodes is None:
        return Finding("inside_job: this process is in no job", "start it from a job's script")
    return Finding(f"this job has {counted(nodes, 'node')}")


def _gpus() -> Finding:
    names = own_gpus()
    return Finding(f"GPUs of this node: {' '.join(names) or 'none'}")


def _file_system(folder: Path) -> Finding:
    kind = file_system(folder)
    if kind not in _NODE_LOCAL:
        return Finding(f"{folder} is on {kind or 'an unknown file system'}")
    return Finding(
        f"{folder.absolute()} is on {kind}, as nodes mostly have for themselves",
        "give an --out that compute nodes see: workers read the keys of their connection there",
    )


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Returns the type of the file system that a folder is on, or will be."""
    path = folder.expanduser().resolve()
    found: tuple[int, str] | None = None
    for line in mounts.read_text().splitlines():
        _, place, kind, *_ = line.split()
        if path.is_relative_to(place.replace("\\040", " ")):
            found = max(found or (0, ""), (len(place), kind))
    return found[1] if found else None


def is_on_nodes_disk(folder: Path) -> bool:
    """Whether a folder is, or will be, on a file system that a node has for itself."""
    return file_system(folder) in (None, *_NODE_LOCAL)


def _threads() -> Finding:
    import psutil

    used = 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids and uids.real == os.getuid():
            used += process.info["num_threads"] or 0
    limits = [limit for limit in (_soft_limit(), _cgroup_limit()) if limit is not None]
    if not limits or min(limits) - used >= _ENOUGH_THREADS:
        limit = min(limits) if limits else "any number"
        return Finding(f"this user has {used} threads, of {limit}")
    return Finding(
        f"this user has {used} threads here, of {min(limits)} that are allowed",
        "run the driver inside of a job: parsl-tl configs script",
    )


def _soft_limit() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return None if soft == resource.RLIM_INFINITY else soft


def _cgroup_limit() -> int | None:
    """Returns the smallest number of processes and threads of this cgroup and those above."""
    limits = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers not in ("", "pids"):
            continue
        top = Path("/sys/fs/cgroup") / controllers
        folder = top / name.lstrip("/")
        for path in (folder, *folder.parents):
            if path.is_relative_to(top) and (file := path / "pids.max").is_file():
                text = file.read_text().strip()
                limits += [int(text)] if text.isdigit() else []
    return min(limits, default=None)
