"""Which store a folder is: every store has an identity of its own, in the file FORMAT."""

from __future__ import annotations

from pathlib import Path

from parsl_tl.store.connection import EMBEDDED, is_remote

_LINE = "id "


def folder_of(uri: str) -> Path | None:
    """Returns the folder of an embedded store; None for servers."""
    if is_remote(uri):
        return None
    return Path(uri.removeprefix(EMBEDDED).removeprefix("//")).expanduser().absolute()


def identity_of(uri: str) -> str | None:
    """Returns the identity of an embedded store, 32 hexadecimal digits.

    Args:
        uri: as ``open_store`` takes it.

    Returns:
        None where there is no store, and for servers, which see to it by themselves.
    """
    folder = folder_of(uri)
    if folder is None:
        return None
    try:
        lines = (folder / "FORMAT").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.removeprefix(_LINE) for line in lines if line.startswith(_LINE)), None)
