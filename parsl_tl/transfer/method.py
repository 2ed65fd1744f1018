"""The contract of a transfer method. Implementations conform to it; they need not inherit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import keras

    from parsl_tl.architecture import ArchitectureGraph


@dataclass(frozen=True)
class Transferred:
    """What came over into a candidate; the default is nothing.

    Attributes:
        donor: id of the model that it came from.
        layer_names: stable names of the layers whose weights were set, in topological order.
        num_bytes: size of these weights.
        layers_matched: layers that the two models share, those without weights included.
        lease: whatever keeps the donor from being freed; it lives as long as this object does.
    """

    donor: int | None = None
    layer_names: tuple[str, ...] = ()
    num_bytes: int = 0
    layers_matched: int = 0
    lease: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Stored:
    """What storing a candidate took; the default is nothing.

    Attributes:
        num_bytes: bytes written for its weights; inherited layers cost none.
        layer_names: stable names of the layers that it owns.
        quality: what is on record for it. Differs from what was handed in when an earlier
            attempt at the same evaluation had already stored the model.
        pending: the model is still on its way; the other fields are what is expected.
        failures: why earlier models of this process, which were on their way, were not stored
            after all, by id; each is reported once.
    """

    num_bytes: int = 0
    layer_names: tuple[str, ...] = ()
    quality: float | None = None
    pending: bool = False
    failures: Mapping[int, str] = field(default_factory=dict)


@runtime_checkable
class TransferMethod(Protocol):
    """Gives a candidate weights of earlier models, and keeps what it trained for later ones.

    A model's layers are known by the stable names of its graph. A layer comes over only if every
    one of its weights agrees in shape and dtype, and a candidate is never its own donor.

    A method may also have, on its class:

    - ``needs``, the argument that says where models are kept: ``"uri"`` of a model store (what a
      method gets that has no such attribute, if a store is named), ``"folder"`` of files that all
      workers share (a campaign's own one by default), ``"url"`` of a server, or None;
    - ``keeps_models``, False if it keeps nothing;
    - ``check()``, which raises a ``StoreError`` if models cannot be kept there: a campaign asks
      before it evaluates anything.
    """

    @property
    def name(self) -> str:
        """What users call the method."""
        ...

    def transfer(
        self,
        model: keras.Model,
        graph: ArchitectureGraph,
        *,
        model_id: int | None,
        parent: int | None = None,
        fingerprints: Collection[int] | None = None,
    ) -> Transferred:
        """Sets the weights of ``model`` that an earlier model has.

        Args:
            model: built; its weights are overwritten where they come over, and only there.
            graph: what the model was built from, or what was read from it.
            model_id: id of the candidate, which cannot be the donor.
            parent: the model that the candidate is a mutation of: a hint for methods that do not
                search.
            fingerprints: of the data of models that may be the donor; any when None.

        Raises:
            StoreError: the place where models are kept does not answer, or is damaged.
            TransferError: it delivered something unusable. The model is unchanged.
        """
        ...

    def store(
        self,
        model: keras.Model,
        graph: ArchitectureGraph,
        trained: Collection[str],
        *,
        model_id: int | None,
        quality: float,
        parent: int | None = None,
        transferred: Transferred | None = None,
        attributes: Mapping[str, object] | None = None,
        fingerprint: int = 0,
    ) -> Stored:
        """Keeps the model for later candidates.

        Args:
            model: trained.
            graph: its graph.
            trained: stable names of the layers it trained; the others are the donor's.
            model_id: id to store it under.
            quality: its objective; larger is better.
            parent: the model it is a mutation of.
            transferred: what ``transfer`` gave for it.
            attributes: kept with the model.
            fingerprint: of the data that it was trained on; 0 says none.

        Raises:
            StoreError: it could not be stored.
        """
        ...

    def recall(self, graph: ArchitectureGraph, *, model_id: int | None) -> float | None:
        """Returns the quality under which this very candidate was stored before, or None.

        A task runs again when its worker is lost; the first run may have stored the model.
        """
        ...

    def retire(self, model_id: int) -> int:
        """Gives up a model; frees what no other one refers to, and says how many bytes.

        Raises:
            ModelNotFoundError: there is no such model.
            StoreError: the place where models are kept does not answer.
        """
        ...

    def close(self) -> None:
        """Lets go of connections; a later call opens them anew."""
        ...
