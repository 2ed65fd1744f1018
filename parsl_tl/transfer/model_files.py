"""Transfer through files: every model is one file with all of its weights, in a shared folder.

Beside the weights stands a record, ``<id>.json``, which is there as soon as the model counts: files
appear by rename, weights first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import weakref
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import (
    InvalidValueError,
    ModelNotFoundError,
    StoreError,
    StoreFullError,
    StorePermissionError,
    TransferError,
)
from parsl_tl.store.model_id import format_model_id
from parsl_tl.transfer.catalog_transfer import CatalogTransfer
from parsl_tl.transfer.client_catalog import DonorBy
from parsl_tl.transfer.donor_weights import Donor, copy_donor_weights
from parsl_tl.transfer.method import Transferred
from parsl_tl.transfer.model_record import ModelRecord

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from parsl_tl.architecture import ArchitectureGraph

_RETAINED = "retained"
_IDENTITY = "IDENTITY"
_PAGE = 4096


class FileTransfer(CatalogTransfer):
    """One file per model. Subclasses say how weights are written and read.

    While a donor is read, and as long as what came over is in use, it is retained by a hard link
    of the reader's own: retiring it takes nothing away from whoever reads it. Its bytes count as
    freed only if nobody does.

    Attributes:
        folder: where the files are; made when it is missing.
    """

    needs = "folder"
    suffix: str

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        donor: DonorBy = "search",
        min_quality: float | None = None,
    ) -> None:
        """Makes the folder.

        Args:
            folder: on a file system that all workers share.
            donor: ``search`` for the longest prefix among all models, ``parent`` for the
                candidate's parent, without a search.
            min_quality: models of less quality are no donors.

        Raises:
            InvalidValueError: no folder, or another ``donor``.
            StoreError: the folder cannot be made.
        """
        if not os.fspath(folder):
            raise InvalidValueError(f"transfer method {self.name!r} needs a folder")
        super().__init__(os.fspath(folder), donor, min_quality)
        self.folder = Path(folder)
        with self._told("the folder cannot be made"):
            (self.folder / _RETAINED).mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def write_file(
        self,
        path: Path,
        model: keras.Model,
        layers: Mapping[str, Any],
        weights: Mapping[str, list[NDArray[Any]]],
    ) -> Mapping[str, Sequence[str]]:
        """Writes all weights of a model.

        Args:
            path: of a new file; ends as the method's files end.
            model: the model.
            layers: its layers with weights, by stable name.
            weights: of these layers.

        Returns:
            Where each weight of each layer is in the file, if the layer's name does not tell.
        """

    @abstractmethod
    def read_file(
        self, path: Path, record: ModelRecord, names: Collection[str]
    ) -> dict[str, list[NDArray[Any]]]:
        """Reads the weights of some layers, and nothing else."""

    def check(self) -> None:
        """See ``CatalogTransfer.check``; a folder without an identity of its own gets one."""
        super().check()
        if folder_identity(self.folder) is not None:
            return
        temporary = self.folder / f"tmp-{secrets.token_hex(8)}"
        try:
            with self._told("the folder cannot be written"):
                temporary.write_text(f"{secrets.token_hex(16)}\n")
                _link(temporary, self.folder / _IDENTITY)
        finally:
            temporary.unlink(missing_ok=True)

    def list_ids(self) -> list[int]:
        """See ``CatalogTransfer.list_ids``."""
        with self._told("the folder cannot be read"):
            names = [entry.name for entry in os.scandir(self.folder)]
        return [int(name[:16], 16) for name in names if len(name) == 21 and name.endswith(".json")]

    def load_records(self, model_ids: list[int]) -> dict[int, ModelRecord]:
        """See ``CatalogTransfer.load_records``."""
        found = {}
        for model_id in model_ids:
            path = self._record_path(model_id)
            with self._told(f"{path} cannot be read"), contextlib.suppress(FileNotFoundError):
                found[model_id] = ModelRecord.from_json(path.read_bytes(), str(path))
        return found

    def take_from(
        self, donor: Donor, record: ModelRecord, model: keras.Model, graph: ArchitectureGraph
    ) -> Transferred:
        """See ``CatalogTransfer.take_from``."""
        lease = self._retain(record)

        def read(names: list[str]) -> dict[str, list[NDArray[Any]]]:
            try:
                return self.read_file(lease.path, record, names)
            except (OSError, KeyError, ValueError) as error:
                raise TransferError(
                    f"{self.path(record.model_id)} cannot be read: {error}; the file is damaged: "
                    f"retire model {format_model_id(record.model_id)}"
                ) from error

        return copy_donor_weights(
            model, graph, replace(donor, lease=lease), lambda _: record.shapes, read
        )

    def write(
        self,
        record: ModelRecord,
        model: keras.Model,
        layers: Mapping[str, Any],
        weights: Mapping[str, list[NDArray[Any]]],
    ) -> bool:
        """See ``CatalogTransfer.write``."""
        self._check_room(record.num_bytes)
        # Keras looks at how the name ends.
        temporary = self.folder / f"tmp-{secrets.token_hex(8)}{self.suffix}"
        try:
            with self._told(f"model {format_model_id(record.model_id)} was not stored"):
                places = self.write_file(temporary, model, layers, weights)
                temporary.replace(self.path(record.model_id))
                temporary.write_text(replace(record, places=places).to_json())
                return _link(temporary, self._record_path(record.model_id))
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, record: ModelRecord) -> int:
        """See ``CatalogTransfer.remove``."""
        path = self.path(record.model_id)
        with self._told(f"model {format_model_id(record.model_id)} was not retired"):
            self._record_path(record.model_id).unlink(missing_ok=True)
            held = path.exists() and path.stat().st_nlink > 1
            path.unlink(missing_ok=True)
        return 0 if held else record.num_bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, donor={self.donor!r})"

    def path(self, model_id: int) -> Path:
        """Returns where a model's weights are."""
        return self.folder / f"{format_model_id(model_id)}{self.suffix}"

    def _record_path(self, model_id: int) -> Path:
        return self.folder / f"{format_model_id(model_id)}.json"

    def _check_room(self, num_bytes: int) -> None:
        """Refuses early: after a write that failed, HDF5 ends the process at its exit."""
        with self._told("the folder cannot be read"):
            free = shutil.disk_usage(self.folder).free
        if free < num_bytes + _PAGE:
            raise StoreFullError(
                f"{self.folder}: {free:,} bytes are free, the model has {num_bytes:,}; make room"
            )

    def _retain(self, record: ModelRecord) -> _Retained:
        """Gives the donor's file a second name, for this reader."""
        path = self.path(record.model_id)
        own = self.folder / _RETAINED / f"{path.stem[:16]}-{secrets.token_hex(8)}{self.suffix}"
        try:
            os.link(path, own)
        except FileNotFoundError:
            if not self._record_path(record.model_id).exists():
                raise ModelNotFoundError(f"{path} is gone") from None
            raise TransferError(
                f"{path} is missing; retire model {path.stem[:16]}, or bring the file back"
            ) from None
        except OSError as error:
            raise TransferError(
                f"{path} cannot be retained ({error.strerror}); transfer method {self.name!r} "
                "needs a file system with hard links"
            ) from error
        return _Retained(own)

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"{self.folder}: {what}: {error.strerror or error}"
            # Libraries between us and the system pass on its words only.
            if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
                raise StoreFullError(f"{text}; make room") from error
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise StorePermissionError(text) from error
            raise StoreError(text) from error


def folder_identity(folder: str | os.PathLike[str]) -> str | None:
    """Returns the identity of a folder of models, 32 hexadecimal digits.

    Returns:
        None where there is no folder, or no search has given it one.
    """
    try:
        return (Path(folder) / _IDENTITY).read_text().strip()
    except OSError:
        return None


def _link(path: Path, name: Path) -> bool:
    """Gives a file another name; False if the name is taken."""
    try:
        os.link(path, name)
    except FileExistsError:
        return False
    return True


class _Retained:
    """A hard link that goes when nobody uses it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        weakref.finalize(self, path.unlink, missing_ok=True)
