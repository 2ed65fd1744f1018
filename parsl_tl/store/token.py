"""The secret that servers and clients share: a file that others cannot read."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from parsl_tl.errors import InvalidValueError, StorePermissionError


def read_token(path: str | os.PathLike[str]) -> bytes:
    """Reads the digest of the token in a file.

    Args:
        path: a file that its owner alone can read (mode 0600 or 0400), holding any text.

    Returns:
        32 bytes that are sent with every request.

    Raises:
        StorePermissionError: the file is not there, or others can read it.
        InvalidValueError: it is empty.
    """
    file = Path(path).expanduser()
    try:
        mode = file.stat().st_mode
        text = file.read_bytes().strip()
    except OSError as error:
        raise StorePermissionError(
            f"the token file {file} cannot be read ({error.strerror}); the server writes it, or "
            "copy it from there"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise StorePermissionError(
            f"the token file {file} can be read by others (mode {stat.S_IMODE(mode):04o}); "
            f"make it yours alone: chmod 600 {file}"
        )
    if not text:
        raise InvalidValueError(f"the token file {file} is empty; remove it, and a new one is made")
    return hashlib.blake2b(text, digest_size=32, person=b"parsl_tl token").digest()


def read_common_token(paths: Iterable[str | None]) -> bytes | None:
    """Reads the token that the servers of one store share; None if none of them names a file.

    Raises:
        InvalidValueError: the files hold different tokens; see ``read_token`` for the rest.
    """
    files = {path for path in paths if path}
    tokens = {read_token(file) for file in files}
    if len(tokens) > 1:
        raise InvalidValueError(
            f"the servers' token files {sorted(files)} differ; servers of one store share one token"
        )
    return tokens.pop() if tokens else None


def make_token(path: str | os.PathLike[str]) -> bytes:
    """Reads a token file like ``read_token``, after making it if there is none.

    Servers that start at the same time end up with one token.

    Raises:
        StorePermissionError: the file cannot be written, or others can read it.
    """
    file = Path(path).expanduser()
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    if not file.exists():
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as out:
                out.write(secrets.token_hex(32) + "\n")
            try:
                os.link(partial, file)
            except FileExistsError:
                pass  # another server was faster: its token counts
            finally:
                partial.unlink()
        except OSError as error:
            raise StorePermissionError(
                f"the token file {file} cannot be written: {error.strerror}"
            ) from error
    return read_token(file)
