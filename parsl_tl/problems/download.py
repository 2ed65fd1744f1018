"""Getting the files of a data set: from the web, resumed where it was broken off, or from a folder.

A file appears under its name when it is whole and its digest is right. Until then it is
``NAME.partial``, and ``NAME.partial.json`` tells which version of the server's file that is.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urljoin, urlsplit

from parsl_tl.errors import ProblemError
from parsl_tl.problems.catalog import DataFile, DataSet

SUMS: Final = "SHA256SUMS"
"""The file of digests in a data set's folder, as ``sha256sum --check`` reads it."""

# Called with the file's name, the bytes that are there, and the whole size or None.
Progress = Callable[[str, int, int | None], None]

_PIECE: Final = 1 << 18
_TIMEOUT_SECONDS: Final = 60.0
_ATTEMPTS: Final = 5
_BROKEN_OFF: Final = (
    *(urllib.error.URLError, http.client.HTTPException),
    *(ConnectionError, TimeoutError, ssl.SSLError),
)


def fetch(
    data_set: DataSet, folder: Path, source: str | None = None, progress: Progress | None = None
) -> list[Path]:
    """Brings the files of a data set into a folder.

    Args:
        data_set: what is fetched; files that are there already, and whole, stay.
        folder: is made.
        source: a folder, or the address of one, in place of the published one; or the file, or its
            address, of a data set with one file.
        progress: is called now and then.

    Returns:
        The files.

    Raises:
        ProblemError: a file is not to be had, or is another one than published or than before.
    """
    source = source or data_set.url
    if not source:
        raise ProblemError(f"these files are {data_set.note}")
    report = progress or (lambda name, done, size: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = [_fetch_file(file, data_set, folder, source, report) for file in data_set.files]
    except OSError as error:
        raise ProblemError(f"{folder} cannot be written: {error.strerror or error}") from error
    return [path for path in found if path is not None]


def _fetch_file(
    file: DataFile, data_set: DataSet, folder: Path, source: str, report: Progress
) -> Path | None:
    target = folder / file.name
    if target.is_file():
        _check_digest(target, file, folder)
        report(file.name, target.stat().st_size, target.stat().st_size)
        return target
    partial = folder / f"{file.name}.partial"
    if urlsplit(source).scheme in ("http", "https", "ftp"):
        is_there = _download(_address(source, file, data_set), partial, file, report)
    else:
        is_there = _copy(Path(source).expanduser(), partial, file, report)
    if not is_there:
        return None
    try:
        _check_digest(partial, file, folder)
    except ProblemError:
        partial.unlink()
        raise
    finally:
        _version_file(partial).unlink(missing_ok=True)
    partial.rename(target)
    _record_digest(target, folder)
    return target


def _address(source: str, file: DataFile, data_set: DataSet) -> str:
    if len(data_set.files) == 1 and not source.endswith("/"):
        return source
    return urljoin(source if source.endswith("/") else f"{source}/", file.name)


def _copy(source: Path, partial: Path, file: DataFile, report: Progress) -> bool:
    path = source / file.name if source.is_dir() else source
    if not path.is_file() or (path == source and path.name != file.name):
        if file.optional:
            return False
        raise ProblemError(f"there is no {file.name} in {source}; --from names its folder, or it")
    shutil.copyfile(path, partial)
    report(file.name, path.stat().st_size, path.stat().st_size)
    return True


def _download(address: str, partial: Path, file: DataFile, report: Progress) -> bool:
    """Downloads what is missing of a file, as often as the connection breaks off."""
    for attempt in range(_ATTEMPTS):
        time.sleep(attempt)
        try:
            _download_rest(address, partial, file, report)
            return True
        except urllib.error.HTTPError as error:
            if error.code == 404 and file.optional:
                return False
            if error.code < 500 or attempt == _ATTEMPTS - 1:
                raise ProblemError(
                    f"{address} is not to be had: {error.code} {error.reason}; name a mirror or a "
                    "folder with --from"
                ) from error
        except _BROKEN_OFF as error:
            if attempt == _ATTEMPTS - 1:
                raise ProblemError(
                    f"{address} is not to be had: {getattr(error, 'reason', error)}; run the "
                    "command again to carry on, or name a mirror or a folder with --from"
                ) from error
    raise AssertionError("the last attempt returns or raises")


def _download_rest(address: str, partial: Path, file: DataFile, report: Progress) -> None:
    request = urllib.request.Request(address)
    start = partial.stat().st_size if partial.exists() else 0
    version = _read_version(partial, address)
    if start and version:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", version)  # another version is sent whole
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left, or another file is there: once more, whole
            _version_file(partial).unlink(missing_ok=True)
            raise http.client.HTTPException("the file is shorter than before") from error
        raise
    with response:
        start = start if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        size = start + int(length) if length is not None else file.size or None
        version = _version_of(response)
        _version_file(partial).write_text(json.dumps({"from": address, "version": version}))
        with partial.open("r+b" if start else "wb") as to:
            to.seek(start)
            _copy_rest(response, to, file, size, report)
    done = partial.stat().st_size
    if size is not None and done != size:
        raise http.client.IncompleteRead(b"", size - done)


def _copy_rest(
    response: Any, to: BinaryIO, file: DataFile, size: int | None, report: Progress
) -> None:
    while piece := response.read(_PIECE):
        to.write(piece)
        report(file.name, to.tell(), size)


def _version_of(response: Any) -> str:
    """Returns what tells a version of a file from others: its tag, unless weak, or its time."""
    tag: str = response.headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified") or ""


def _version_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _read_version(partial: Path, address: str) -> str:
    try:
        found = json.loads(_version_file(partial).read_text())
        return str(found["version"]) if found["from"] == address else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _check_digest(path: Path, file: DataFile, folder: Path) -> None:
    """Compares a file with what is published of it, and with what it was before."""
    size = path.stat().st_size
    if file.size and size != file.size:
        raise ProblemError(
            f"{path} has {size} bytes, the published file {file.size}; remove it and fetch it anew"
        )
    kind, _, published = file.digest.partition(":")
    recorded = _read_digests(folder).get(file.name)
    for name, expected in ((kind, published), ("sha256", recorded)):
        if expected and (found := _digest(path, name)) != expected:
            raise ProblemError(
                f"{path} has the {name} digest {found}, expected is {expected}: it is damaged or "
                f"another release; remove it (and its line in {SUMS}) and fetch it anew"
            )


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _read_digests(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / SUMS).read_text().splitlines()
    except OSError:
        return {}
    split = [line.split(maxsplit=1) for line in lines if line.strip()]
    return {parts[1].lstrip("*"): parts[0] for parts in split if len(parts) == 2}


def _record_digest(path: Path, folder: Path) -> None:
    digests = _read_digests(folder) | {path.name: _digest(path, "sha256")}
    partial = folder / f"{SUMS}.partial"
    partial.write_text("".join(f"{digests[name]}  {name}\n" for name in sorted(digests)))
    partial.rename(folder / SUMS)
