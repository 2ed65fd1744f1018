"""Where a campaign keeps its models: in a model store, or with another transfer method."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from parsl_tl.errors import CampaignError, StoreUnreachableError
from parsl_tl.search.settings import NONE_KEEPS_NOTHING, CampaignSettings
from parsl_tl.search.store_uri import check_opens
from parsl_tl.store import ModelStore, open_store
from parsl_tl.store.identity import identity_of
from parsl_tl.store.query_options import query_options
from parsl_tl.store.uri import EMBEDDED, is_remote
from parsl_tl.transfer import TransferMethod, get_transfer_method
from parsl_tl.transfer.model_files import folder_identity
from parsl_tl.transfer.registry import find_transfer_method

logger = logging.getLogger(__name__)

# Retiring can wait, and a search must not wait for it: servers get one try.
_QUICK = {"retry_seconds": 0.0, "timeout": 10.0}


class ModelStorage(Protocol):
    """The place of a campaign's models."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What the run functions need of it; see ``run_transfer_trainer``."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether it answers over the network, or not at all."""
        ...

    def check(self, *, may_be_away: bool) -> list[str]:
        """Looks whether models can be kept there, before anything is evaluated.

        Args:
            may_be_away: a server that does not answer is no error.

        Returns:
            The identities of a store that answers; nothing otherwise.

        Raises:
            ParslTLError: they cannot.
        """
        ...

    def open(self, *, quick: bool) -> ModelStore | TransferMethod:
        """Opens it to retire models.

        Args:
            quick: a server that does not answer gets one try.
        """
        ...


@dataclass(frozen=True)
class StoreStorage:
    """Models are in a model store.

    Attributes:
        uri: of the store.
        overlap: models are stored in the background.
        min_quality: models of less quality are no donors.
        quality_rate: layers of prefix that one unit of quality is worth.
    """

    uri: str
    overlap: bool = False
    min_quality: float | None = None
    quality_rate: float = 0.0

    @property
    def parameters(self) -> dict[str, Any]:
        """See ``ModelStorage.parameters``."""
        return {
            "store": self.uri,
            "store_id": identity_of(self.uri),
            "transfer_method": "store",
            "overlap_store": self.overlap,
            "transfer_args": {"min_quality": self.min_quality, "quality_rate": self.quality_rate},
        }

    @property
    def is_remote(self) -> bool:
        """See ``ModelStorage.is_remote``."""
        return is_remote(self.uri)

    def check(self, *, may_be_away: bool) -> list[str]:
        """See ``ModelStorage.check``."""
        return check_opens(self.uri, may_be_away=may_be_away)

    def open(self, *, quick: bool) -> ModelStore:
        """See ``ModelStorage.open``."""
        options: dict[str, Any] = dict(_QUICK) if quick and is_remote(self.uri) else {}
        return open_store(self.uri, **options)


@dataclass(frozen=True)
class MethodStorage:
    """Models are where a transfer method keeps them, whole.

    Attributes:
        method: name of the method.
        arguments: of the method.
    """

    method: str
    arguments: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """See ``ModelStorage.parameters``."""
        identity = folder_identity(self.arguments["folder"]) if keeps_files(self.method) else None
        return {
            "transfer_method": self.method,
            "transfer_args": self.arguments,
            "store_id": identity,
        }

    @property
    def is_remote(self) -> bool:
        """See ``ModelStorage.is_remote``."""
        return not keeps_files(self.method)

    def check(self, *, may_be_away: bool) -> list[str]:
        """See ``ModelStorage.check``."""
        opened = self.open(quick=True)
        try:
            check = getattr(opened, "check", None)
            if check is not None:
                check()
        except StoreUnreachableError as error:
            if not may_be_away:
                raise StoreUnreachableError(f"{error}; start it before the search") from error
            logger.warning("the search goes on without transfer: %s", error)
        finally:
            opened.close()
        return []

    def open(self, *, quick: bool) -> TransferMethod:
        """See ``ModelStorage.open``."""
        return get_transfer_method(self.method, **self.arguments)


def storage_for(settings: CampaignSettings, folder: Path) -> StoreStorage | MethodStorage:
    """Says where a campaign's models are.

    Args:
        settings: of the campaign.
        folder: of the campaign.

    Raises:
        TransferError: there is no such transfer method.
        CampaignError: settings that exclude each other.
        InvalidValueError: a quality that can be none.
    """
    if settings.has_store:
        if settings.transfer_args:
            raise CampaignError(
                f"transfer_args={settings.transfer_args} are for methods without a store; "
                f"transfer={settings.transfer!r} has its models in the store that is named"
            )
        query_options("layers", settings.quality_rate, settings.min_quality, (), None)  # checks
        return StoreStorage(
            settings.store_uri(folder),
            settings.overlap_store,
            settings.min_quality,
            settings.quality_rate,
        )
    own_values = {"store": EMBEDDED, "overlap_store": False, "min_quality": None, "quality_rate": 0}
    for name, own in own_values.items():
        if getattr(settings, name) != own:
            if settings.transfer == "none":
                raise CampaignError(
                    f"{name}={getattr(settings, name)!r} does not fit: {NONE_KEEPS_NOTHING}"
                )
            raise CampaignError(
                f"{name}={getattr(settings, name)!r} is for transfer='store'; "
                f"transfer={settings.transfer!r} keeps its models by itself (transfer_args)"
            )
    arguments = dict(settings.transfer_args)
    if keeps_files(settings.transfer):
        arguments.setdefault("folder", str(folder / "models"))
    return MethodStorage(settings.transfer, arguments)


def keeps_files(method: str) -> bool:
    """Whether a transfer method keeps its models in a folder.

    Raises:
        TransferError: there is no such transfer method.
    """
    return getattr(find_transfer_method(method), "needs", None) == "folder"


def resolve_arguments(transfer: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Makes a folder that is named mean the same to every worker, wherever it runs.

    Args:
        transfer: name of the transfer method.
        arguments: of the method.

    Raises:
        TransferError: there is no such transfer method.
    """
    resolved = dict(arguments)
    if resolved.get("folder") and keeps_files(transfer):
        resolved["folder"] = str(Path(resolved["folder"]).expanduser().absolute())
    return resolved
