"""What every model store offers, whichever transport is under it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from parsl_tl.deprecation import renamed_method, renamed_names
from parsl_tl.store.model_id import format_model_id

if TYPE_CHECKING:
    import pyarrow as pa

    from parsl_tl.architecture import ArchitectureGraph

Arrays = list[NDArray[np.generic]]
Weights = Mapping[str, Sequence[NDArray[np.generic]]]
ScoreBy = Literal["layers", "bytes"] | Mapping[str, float]

__getattr__ = renamed_names(__name__, {"BestAncestors": "FoundDonors"})


@dataclass(frozen=True)
class PutResult:
    """What ``put`` did.

    Attributes:
        bytes_stored: bytes of weights that were written.
        layers_stored: layers whose weights were written.
        layers_inherited: layers whose weights the model shares with their owners.
        shared_with: the donor, or the parent where no donor was named, from whose composition
            these layers come; None if the model owns all of its weights.
        layers_lacking: layers of classes that always have weights, and for which none were given,
            where neither parent nor donor was named (where one was, ``put`` refuses that).
    """

    bytes_stored: int
    layers_stored: int
    layers_inherited: int
    shared_with: int | None = None
    layers_lacking: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Match:
    """The stored model that shares the longest prefix with an architecture.

    While the match lives, its weights can be read in this process, even if another process
    retires the model.

    Attributes:
        model_id: the donor.
        layer_names: stable names of the common layers, in the query's topological order.
        num_bytes: bytes of these layers' weights.
        quality: the donor's quality.
    """

    model_id: int
    layer_names: list[str]
    num_bytes: int
    quality: float
    _pinned: Any = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return (
            f"Match({format_model_id(self.model_id)}, {len(self.layer_names)} layers, "
            f"{self.num_bytes} bytes, quality={self.quality:.6g})"
        )


@dataclass(frozen=True)
class FoundDonors:
    """The answers to many queries; every array has one value for each.

    Attributes:
        found: bool, False where no model shares a layer.
        model_ids: uint64, the donors; only where found.
        scores: float64, what the common prefix counts (layers, bytes, or weight), without quality.
        qualities: float64, the donors' qualities.
    """

    found: NDArray[np.bool_]
    model_ids: NDArray[np.uint64]
    scores: NDArray[np.float64]
    qualities: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.found)


@dataclass(frozen=True)
class CompactReport:
    """What ``compact`` did.

    Attributes:
        segments_rewritten: files of weights that were written anew without what nobody holds.
        bytes_freed: bytes by which the store became smaller on disk.
    """

    segments_rewritten: int
    bytes_freed: int


@dataclass(frozen=True)
class VerifyReport:
    """What ``verify`` found.

    Attributes:
        models: models whose record and tensors are whole.
        tensors: tensors whose checksum was computed.
        num_bytes: their bytes.
        problems: one text for each damaged model or wrong reference count; empty if all is well.
    """

    models: int
    tensors: int
    num_bytes: int
    problems: list[str]

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems


class ModelStore(ABC):
    """A store of models that share weights.

    A model is its architecture, the weights of the layers it owns, and references to those it
    shares with earlier models. Model ids are unsigned 64-bit integers and are never reused.
    Usable as a context manager, from several threads, and from several processes at once.
    """

    @overload
    def put(
        self,
        model_id: int,
        graph: ArchitectureGraph,
        weights: Weights,
        *,
        quality: float,
        parent: int | None = None,
        donor: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        wait: Literal[True] = True,
    ) -> PutResult: ...

    @overload
    def put(
        self,
        model_id: int,
        graph: ArchitectureGraph,
        weights: Weights,
        *,
        quality: float,
        parent: int | None = None,
        donor: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        wait: Literal[False],
    ) -> Future[PutResult]: ...

    @abstractmethod
    def put(
        self,
        model_id: int,
        graph: ArchitectureGraph,
        weights: Weights,
        *,
        quality: float,
        parent: int | None = None,
        donor: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> PutResult | Future[PutResult]:
        """Stores a model; once this returns, the model survives the death of any process.

        Args:
            model_id: an id that was never used in this store.
            graph: the architecture.
            weights: arrays of each layer that the model owns, by stable layer name, in the order
                of ``keras.Layer.weights``. Layers with weights that are not listed are shared
                with the donor (or with the parent, when no donor is named). Where neither is
                named, the model is stored without them, and the result tells which.
            quality: the objective, higher is better. Finite; may be negative.
            parent: the model that this one was mutated from. It may be retired: then it is
                lineage alone, and nothing is shared with it.
            donor: the model whose prefix came over.
            attributes: anything JSON can hold, kept with the model.
            wait: False stores the model in the background, in the order of the calls, and gives a
                future at once. The arrays must stay as they are until it is done, and it is the
                future that tells what went wrong. ``close`` waits for all of them.

        Raises:
            InvalidValueError: a NaN quality, an id out of range, weights for an unknown layer;
                with a parent or donor, a layer that has weights (as classes of Keras tell, or
                other models of the store) and gets none, neither from here nor from them.
            ArchitectureError: the graph was read from a model in which a layer keeps more than
                config and weights.
            ModelExistsError: the id was used before, by a living or retired model.
            DonorGoneError: the donor was retired in the meantime, or the parent where no donor
                is named and weights are lacking: store all weights instead.
            StoreIdentityError: a server, or the folder, is another store than it was.
            StoreFullError: no space is left; the store is as before.
            StorePermissionError: the store is read-only.
        """

    @abstractmethod
    def find_donor(
        self,
        graph: ArchitectureGraph,
        *,
        by: ScoreBy = "layers",
        quality_rate: float = 0.0,
        min_quality: float | None = None,
        exclude: Collection[int] = (),
    ) -> Match | None:
        """Finds the stored model with the longest common prefix.

        Ties go to the higher quality, then to the model that was stored last.

        Args:
            graph: the candidate's architecture.
            by: what makes a prefix long: the number of its layers, the bytes of their weights, or
                what each layer counts by its class, ``{"Dense": 1.0, "Conv1D": 2.5}``; classes
                that are not named count nothing. Weights are from 0 to a million, and rounded to
                multiples of 2^-16.
            quality_rate: what one unit of quality is worth, in layers, bytes or weight. With 0,
                quality only decides between equally long prefixes.
            min_quality: leaves out models below it.
            exclude: ids to leave out (the candidate's own, say).

        Returns:
            The match, or None if no model shares a layer.

        Raises:
            InvalidValueError: a negative rate or weight, NaN, an unknown ``by``.
        """

    @abstractmethod
    def find_donors(
        self,
        graphs: Sequence[ArchitectureGraph],
        *,
        by: ScoreBy = "layers",
        quality_rate: float = 0.0,
        min_quality: float | None = None,
        exclude: Collection[int] = (),
        threads: int | None = None,
    ) -> FoundDonors:
        """Answers many queries in one call, on several threads.

        Args:
            graphs: the candidates' architectures.
            by: see ``find_donor``, as are the next three.
            quality_rate: see there.
            min_quality: see there.
            exclude: see there.
            threads: how many; all cores when None.

        Returns:
            Arrays with one value for each candidate. Nothing is pinned: a model that is retired
            afterwards cannot be read any more.
        """

    best_ancestor = renamed_method("best_ancestor", "find_donor")
    best_ancestors = renamed_method("best_ancestors", "find_donors")

    @abstractmethod
    def read(
        self,
        model_id: int,
        layer_names: Collection[str] | None = None,
        *,
        out: Weights | None = None,
    ) -> dict[str, Arrays]:
        """Reads the weights of a model, or of some of its layers.

        Args:
            model_id: a living model, or one that a ``Match`` in this process still holds.
            layer_names: which layers; all that have weights when None.
            out: arrays to copy into, by layer name, with the stored shapes and dtypes.

        Returns:
            Arrays by layer name: read-only views of the stored bytes without a copy, or the
            arrays of ``out``.

        Raises:
            ModelNotFoundError: no such model, or it was retired.
            InvalidValueError: an unknown layer, or an array of ``out`` that does not fit.
            StoreCorruptError: stored bytes fail their checksum.
        """

    @abstractmethod
    def shapes(
        self, model_id: int, layer_names: Collection[str] | None = None
    ) -> dict[str, list[tuple[tuple[int, ...], str]]]:
        """Returns ``(shape, dtype name)`` of each weight, by layer name, without reading any."""

    @abstractmethod
    def composition(self, model_id: int) -> dict[str, int]:
        """Returns the owner of each layer, by stable layer name, in topological order."""

    @abstractmethod
    def lineage(self, model_id: int) -> list[int]:
        """Returns the parent, its parent, and so on; retired models included."""

    @abstractmethod
    def descendants(self, model_id: int) -> list[int]:
        """Returns children, then their children, and so on; retired models included."""

    @abstractmethod
    def retire(self, model_id: int) -> int:
        """Takes a model out; frees what no living model refers to.

        Returns:
            Bytes of weights that were freed.

        Raises:
            ModelNotFoundError: no such model, or it was retired before.
        """

    @abstractmethod
    def reference_count(self, owner: int, layer_name: str) -> int:
        """Returns how many living models hold the owner's layer; 0 if it was freed."""

    @abstractmethod
    def graph(self, model_id: int) -> ArchitectureGraph:
        """Returns the model's architecture."""

    @abstractmethod
    def info(self, model_id: int) -> dict[str, Any]:
        """Returns quality, parent, donor, created (ns since 1970), bytes, layers, attributes."""

    @abstractmethod
    def models(self) -> pa.Table:
        """Returns one row per living model, in the order they were stored.

        Columns: ``model_id``, ``parent``, ``donor`` (uint64), ``quality`` (float64),
        ``num_layers`` (uint32, all layers of the graph), ``bytes_owned``, ``bytes_total`` (uint64),
        ``created`` (timestamp[ns, UTC]), ``attributes`` (JSON text). Ids stay exact in pandas.
        """

    @abstractmethod
    def stats(self) -> dict[str, int]:
        """Returns counts and bytes.

        ``models``, ``layers`` (with weights, each owned once), ``layer_references``, ``segments``,
        ``bytes_live`` (weights that living models hold), ``bytes_segments`` (the files they lie
        in), ``bytes_log``, ``bytes_snapshot``, and the memory of the prefix index:
        ``bytes_index_shared`` is mapped once for all processes of the node,
        ``bytes_index_private`` is this process's share for the ``changes_since_snapshot``.
        """

    @property
    @abstractmethod
    def identities(self) -> list[str]:
        """The identity of the store, 32 hexadecimal digits; on servers, that of each of them."""

    def release_orphans(self) -> int:
        """Lets go of layers that are held for models which do not exist.

        A model that shares layers of another server has them held there, before it is stored and
        until it is retired. Held in vain they are after a server went away, or a process died,
        between the two. Nothing that is under way is touched.

        Returns:
            Bytes of weights that were freed.
        """
        return 0  # nothing is held for others within one folder

    @abstractmethod
    def compact(self) -> CompactReport:
        """Gives the space of retired models back to the file system.

        Files of weights that still hold layers of living models are written anew without the
        rest, and so is the log. Others read on meanwhile; arrays that were read stay valid. Who
        writes waits while the log is rewritten.
        """

    @abstractmethod
    def verify(self) -> VerifyReport:
        """Computes every checksum and counts every reference anew."""

    @abstractmethod
    def __contains__(self, model_id: object) -> bool: ...

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def close(self) -> None:
        """Ends the use of the store; arrays that were read stay valid."""

    def __enter__(self) -> ModelStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
