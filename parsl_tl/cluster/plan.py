"""What the nodes of a cluster are told: one file, written by the driver, read by every node."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from parsl_tl.errors import StorePermissionError

TCP: Final = "grpc+tcp"
"""The transport that is always there, between jobs as well."""


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """How the servers of a store are to run.

    Attributes:
        folder: of the cluster, which driver and nodes see.
        generation: tells one run over the folder from the next.
        servers: how many make up the store.
        scheme: of the transport, such as ``grpc+tcp``.
        interfaces: network interfaces that servers listen on, the first that is there; the one
            that the driver is reached by, where none is named.
        data: a folder on a disk of each node's own, in which servers keep their models; None keeps
            them in ``folder``, which is on such a disk then.
        durability: see ``ServerSettings``, as for the next two.
        threads: requests of a server at once.
        memory_limit: bytes.
        stale_seconds: without a sign of life, after which a server's place may be taken.
        trace: folder of a record, to which servers add their part; see ``ServerSettings``.
    """

    folder: str
    generation: str
    servers: int
    scheme: str = TCP
    interfaces: tuple[str, ...] = ()
    data: str | None = None
    durability: str = "os"
    threads: int = 4
    memory_limit: int | None = None
    stale_seconds: float = 90.0
    trace: str | None = None

    @property
    def token_file(self) -> Path:
        """The secret of servers and clients."""
        return Path(self.folder) / "token"

    @property
    def stop_file(self) -> Path:
        """Appears when the servers shall end."""
        return Path(self.folder) / f"stop.{self.generation}"

    @property
    def is_current(self) -> bool:
        """Whether no later run over the folder has begun."""
        try:
            return _generation_file(self.folder).read_text().strip() == self.generation
        except OSError:
            return True  # a file system that does not answer says nothing

    @classmethod
    def path_of(cls, folder: str | os.PathLike[str], generation: str) -> Path:
        """Returns where the plan of a run over a folder is."""
        return Path(folder) / f"plan.{generation}.json"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what ``publish`` wrote."""
        values = json.loads(path.read_bytes())
        return cls(**{**values, "interfaces": tuple(values["interfaces"])})

    def publish(self) -> None:
        """Makes this the plan of its folder, whose earlier runs end by it.

        Raises:
            StorePermissionError: the folder cannot be written.
        """
        folder = Path(self.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for old in [*folder.glob("plan.*.json"), *folder.glob("stop.*")]:
                old.unlink(missing_ok=True)
            write_whole(_generation_file(folder), self.generation)
            write_whole(self.path_of(folder, self.generation), json.dumps(asdict(self)))
        except OSError as error:
            raise StorePermissionError(
                f"the cluster's folder {folder} cannot be written: {error.strerror}"
            ) from error


def write_whole(path: Path, text: str) -> None:
    """Writes a file for its owner alone, which appears whole or not at all."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def _generation_file(folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / "generation"
