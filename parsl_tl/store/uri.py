"""From a URI to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parsl_tl.errors import InvalidValueError

if TYPE_CHECKING:
    from parsl_tl.store.embedded import Compression, Durability
    from parsl_tl.store.model_store import ModelStore

EMBEDDED = "embedded:"


def open_store(
    uri: str,
    *,
    read_only: bool = False,
    durability: Durability = "os",
    checksums: bool = True,
    compression: Compression | None = None,
) -> ModelStore:
    """Opens a model store.

    Args:
        uri: ``embedded:<folder>``, a folder on a local disk that many processes of the node may
            open at once; it is made if it is missing or empty.
        read_only: neither make nor change anything.
        durability: ``"os"`` survives the death of any process, ``"disk"`` also a power cut.
        checksums: of weights: computed when they are written, verified when they are first read.
        compression: ``"none"``, ``"lz4"`` or ``"zstd"`` for the weights of a new store; an
            existing one is what it was made as.

    Returns:
        The store; a context manager.

    Raises:
        InvalidValueError: the URI is of no known kind, or names no folder.
        StoreError: see ``EmbeddedStore``.
    """
    if not uri.startswith(EMBEDDED):
        raise InvalidValueError(
            f"{uri!r} is no store that this version can open; use embedded:<folder>"
        )
    folder = uri.removeprefix(EMBEDDED).removeprefix("//")
    if not folder:
        raise InvalidValueError(
            "'embedded:' names no folder; write embedded:/scratch/run1, for example "
            "(only a campaign has a folder of its own to fill in)"
        )
    from parsl_tl.store.embedded import EmbeddedStore

    return EmbeddedStore(
        folder,
        read_only=read_only,
        durability=durability,
        checksums=checksums,
        compression=compression,
    )
