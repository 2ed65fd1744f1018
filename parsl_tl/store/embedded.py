"""The store inside the calling process, over a folder that many processes of a node share."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Literal

from parsl_tl.errors import InvalidValueError
from parsl_tl.native import native
from parsl_tl.store.identity import identity_of
from parsl_tl.store.model_store import ModelStore

Durability = Literal["os", "disk"]
Compression = Literal["none", "lz4", "zstd"]
Shared = Literal["group"]


class EmbeddedStore(ModelStore):
    """A store in a local folder.

    Every process of the node may open the same folder; each sees what the others acknowledged in
    its next call. Reading is mapping the files, so weights are never copied.
    """

    _engine: native.Engine

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        read_only: bool = False,
        durability: Durability = "os",
        checksums: bool = True,
        compression: Compression | None = None,
        shared: Shared | None = None,
        damaged: bool = False,
    ) -> None:
        """Opens the store, and makes it if the folder is missing or empty.

        Args:
            folder: a folder on a local disk or tmpfs, not on a network file system.
            read_only: neither make nor change anything.
            durability: ``"os"`` survives the death of any process; ``"disk"`` also a power cut
                (every put waits for the disk).
            checksums: compute checksums of weights when they are written, and verify them when
                they are first read. False saves that time, and damage goes unnoticed.
            compression: of a new store's weights; None makes an uncompressed one, and opens an
                existing one as it is. Compressed weights are uncompressed into memory when they
                are first read, where raw ones are only mapped.
            shared: ``"group"`` makes a new store that the folder's group may read and write; None
                makes one for its owner alone, and opens an existing one as it is.
            damaged: with ``read_only``, read a log that is damaged before its end up to there.

        Raises:
            InvalidValueError: an unknown option, or another compression than the store has.
            StoreFormatError: the folder holds something else, or a newer format.
            StoreCorruptError: the log is damaged before its end (see ``damaged``).
            StorePermissionError: the folder cannot be written (or read).
        """
        if durability not in ("os", "disk"):
            raise InvalidValueError(f"durability is {durability!r}; choose 'os' or 'disk'")
        if shared not in (None, "group"):
            raise InvalidValueError(f"shared is {shared!r}; choose 'group', or None for nobody")
        path = str(Path(folder).expanduser().absolute())
        engine = native.Engine(
            path,
            read_only=read_only,
            sync=durability == "disk",
            checksums=checksums,
            compression=compression,
            shared=shared == "group",
            damaged=damaged,
        )
        super().__init__(engine)
        self.uri = f"embedded:{path}"
        self._pass_on_warnings()

    def __repr__(self) -> str:
        return f"EmbeddedStore({self._engine.folder!r})"

    @property
    def identities(self) -> list[str]:
        """See ``ModelStore.identities``."""
        return [identity_of(self.uri) or ""]

    def _pass_on_warnings(self) -> None:
        for text in self._engine.take_warnings():
            warnings.warn(text, RuntimeWarning, stacklevel=3)
