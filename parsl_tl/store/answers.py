"""What a model store answers: what was put, found, compacted and verified."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.store.model_id import format_model_id
from parsl_tl.store.notebook import show_match
from parsl_tl.store.pinned_reading import Arrays, Weights, read_layers, shapes_of
from parsl_tl.store.recorded_calls import recorded


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

    def shapes(
        self, layer_names: Collection[str] | None = None
    ) -> dict[str, list[tuple[tuple[int, ...], str]]]:
        """Returns ``(shape, dtype name)`` of each weight, by layer name, without reading any.

        Args:
            layer_names: layers of the donor; the common ones when None.
        """
        return shapes_of(self._pinned, self._names(layer_names))

    @recorded("store.read")
    def read(
        self, layer_names: Collection[str] | None = None, *, out: Weights | None = None
    ) -> dict[str, Arrays]:
        """Reads the donor's weights; see ``ModelStore.read``.

        Args:
            layer_names: layers of the donor; the common ones when None.
            out: arrays to copy into, by layer name.
        """
        return read_layers(self._pinned, self._names(layer_names), out)

    def _names(self, layer_names: Collection[str] | None) -> list[str]:
        return self.layer_names if layer_names is None else list(layer_names)

    def _repr_html_(self) -> str:
        """Shows the donor and the common layers in a notebook."""
        return show_match(repr(self), self.layer_names)

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
