"""Copies of whole stores: snapshots, what is restored from them, and replicas that are promoted."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from parsl_tl.errors import (
    InvalidValueError,
    StoreCorruptError,
    StorePermissionError,
    StoreUnreachableError,
)
from parsl_tl.native import native
from parsl_tl.store.connection import CLUSTER, EMBEDDED, Connection, find_servers, is_remote
from parsl_tl.store.following import FOLDER
from parsl_tl.store.token import read_common_token
from parsl_tl.store.transports import connect

_MARK = "follows"


@dataclass(frozen=True)
class Copied:
    """What was copied, and verified.

    Attributes:
        folders: one for each server of the store, in their order.
        models: that are in them.
        tensors: of theirs.
        num_bytes: of their weights.
    """

    folders: list[Path]
    models: int
    tensors: int
    num_bytes: int


def snapshot(uri: str, folder: Path, *, timeout: float = 30.0) -> Copied:
    """Copies a store, with all weights, while it is in use.

    The copy is the store as of one moment, and is verified. Several servers that are written to
    without a pause have no such moment that can be seen; they are waited for.

    Args:
        uri: of the store, as ``open_store`` takes it; also of a ``StoreCluster`` that does not run.
        folder: missing or empty. It gets a folder for each server, named after its identity; they
            can be read as stores, and written once they are restored.
        timeout: seconds that a server may take to answer.

    Returns:
        What was copied.

    Raises:
        InvalidValueError: the folder holds something.
        StoreCorruptError: weights, or a log, are damaged.
        StoreError: a server does not answer, or the store cannot be opened.
    """
    _require_empty(folder)
    with _servers_of(uri) as servers:
        folders = native.copy_store(
            [connect(server) for server in servers],
            [server.address for server in servers],
            token=read_common_token(server.token_file for server in servers),
            timeout=timeout,
            folder=str(folder.absolute()),
        )
    return _verified([Path(path) for path in folders])


def restore(source: Path, folder: Path) -> Copied:
    """Makes a store from a snapshot, or from a replica.

    The store has the identity of the one that was copied: it takes that one's place.

    Args:
        source: the folder of the snapshot.
        folder: missing or empty. The store, or, of several servers, ``server-0``, ``server-1``,
            ... of it.

    Returns:
        What was restored.

    Raises:
        InvalidValueError: there is no snapshot, a server's part is missing, or the folder holds
            something.
        StoreCorruptError: the snapshot is damaged; nothing is left in the folder.
    """
    parts = _parts_in(source)
    _require_empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    partial.mkdir(mode=0o700)
    try:
        targets = [partial / f"server-{i}" for i in range(len(parts))]
        for part, target in zip(parts, targets, strict=True):
            # A snapshot of the catalog, and locks, are made anew.
            shutil.copytree(part, target, ignore=shutil.ignore_patterns("snapshot", _MARK))
        copied = _verified(targets)
        folder.rmdir()
        (targets[0] if len(targets) == 1 else partial).rename(folder)
    except OSError as error:
        raise StorePermissionError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    places = [folder] if len(parts) == 1 else [folder / target.name for target in targets]
    return Copied(places, copied.models, copied.tensors, copied.num_bytes)


@dataclass(frozen=True)
class Promotion:
    """What it takes to make a copy a store.

    Attributes:
        folder: of the copy.
        store: its identity, which it keeps.
        models: that it has.
        lost_models: of which weights did not come over in time.
    """

    folder: Path
    store: str
    models: int
    lost_models: list[int]


def promote(where: Path, *, only_look: bool = False) -> Promotion:
    """Makes the copy of a followed store a store of its own, when the other one is lost.

    Models whose weights are not here are retired. The old store must not come back: give its
    clients, and other servers, the new one's address.

    Args:
        where: the copy, or the folder of a server that follows one store.
        only_look: change nothing.

    Returns:
        What there is, and what is given up.

    Raises:
        InvalidValueError: there is no such copy.
        StoreError: it cannot be opened.
    """
    folder = _copy_at(where)
    engine = native.Engine(str(folder.absolute()))
    try:
        plan = Promotion(
            folder, engine.store, engine.num_models(), list(engine.models_lacking_segments())
        )
        if only_look:
            return plan
        engine.stop_following()
    finally:
        engine.close()
    engine = native.Engine(str(folder.absolute()))
    try:
        for model_id in plan.lost_models:
            engine.retire(model_id)
    finally:
        engine.close()
    return plan


def _copy_at(where: Path) -> Path:
    if (where / _MARK).is_file():
        return where
    copies = sorted(path.parent for path in (where / FOLDER).glob(f"[0-9a-f]*/{_MARK}"))
    if len(copies) == 1:
        return copies[0]
    if copies:
        raise InvalidValueError(
            f"{where} follows {len(copies)} stores; name one of {', '.join(map(str, copies))}"
        )
    raise InvalidValueError(f"{where} is no copy of another store, and follows none")


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidValueError(f"{folder} holds something already; name a new or an empty folder")


def _parts_in(source: Path) -> list[Path]:
    """Returns the folders of a snapshot's servers, in their order."""
    found = [source] if (source / "FORMAT").is_file() else []
    found = found or sorted(path.parent for path in source.glob("*/FORMAT"))
    parts: dict[int, Path] = {}
    count = 1
    for path in found:
        text = (path / "FORMAT").read_text(encoding="ascii", errors="replace")
        place = re.search(r"^server (\d+) of (\d+)$", text, re.MULTILINE)
        index, count = (int(place[1]), int(place[2])) if place else (0, 1)
        parts[index] = path
    if not parts:
        raise InvalidValueError(f"{source} holds no snapshot of a store")
    if sorted(parts) != list(range(count)) or len(found) != count:
        raise InvalidValueError(
            f"{source} holds {len(found)} parts of a store of {count} servers; restore one whole "
            "snapshot at a time"
        )
    return [parts[index] for index in range(count)]


def _verified(folders: list[Path]) -> Copied:
    reports = []
    for folder in folders:
        engine = native.Engine(str(folder.absolute()), read_only=True)
        try:
            lacking = engine.models_lacking_segments()
            report = engine.verify()
        finally:
            engine.close()
        problems = [*report.problems, *(f"model {i:016x} lacks weights" for i in lacking)]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise StoreCorruptError(f"{folder} is no whole store: {problems[0]}{more}")
        reports.append(report)
    return Copied(
        folders,
        sum(report.models for report in reports),
        sum(report.tensors for report in reports),
        sum(report.bytes for report in reports),
    )


@contextmanager
def _servers_of(uri: str) -> Iterator[list[Connection]]:
    """The servers of a store; of one in folders that nobody serves, servers in this process."""
    if is_remote(uri):
        try:
            servers = find_servers(uri)
        except StoreUnreachableError:
            if not uri.startswith(CLUSTER):
                raise
        else:
            yield servers
            return
    from parsl_tl.store.stopped_cluster import folders_of_stopped_cluster, served_here

    if uri.startswith(CLUSTER):
        folders = folders_of_stopped_cluster(uri)
    else:
        folders = [Path(uri.removeprefix(EMBEDDED).removeprefix("//"))]
    with served_here(folders) as served:
        yield served
