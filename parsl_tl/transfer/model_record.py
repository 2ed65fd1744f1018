"""What is on record for a model beside its weights, where no store keeps it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.prefix import HASH_SCHEME
from parsl_tl.errors import InvalidValueError, ModelExistsError, TransferError
from parsl_tl.store.fingerprint import check_fingerprint
from parsl_tl.store.model_id import format_model_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from parsl_tl.architecture import ArchitectureGraph


@dataclass(frozen=True)
class ModelRecord:
    """A stored model, as a line of JSON.

    Attributes:
        model_id: its id.
        keys: the layer keys of its graph.
        shapes: for each layer with weights, shape and dtype of each of them.
        quality: its objective.
        created_ns: when it was stored, in nanoseconds; the later of two equal models wins.
        parent: the model it is a mutation of.
        num_bytes: size of all its weights.
        places: where each weight of each layer is, for methods that cannot tell by its name.
        attributes: kept with the model.
        hash_scheme: how keys and names were made, see ``architecture.prefix``.
        fingerprint: of the data that it was trained on; 0 if none was said.
    """

    model_id: int
    keys: Sequence[int]
    shapes: Mapping[str, Sequence[Any]]
    quality: float
    created_ns: int
    parent: int | None = None
    num_bytes: int = 0
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    hash_scheme: int = 1
    fingerprint: int = 0

    @classmethod
    def of(
        cls,
        model_id: int | None,
        graph: ArchitectureGraph,
        weights: Mapping[str, Sequence[NDArray[Any]]],
        quality: float,
        parent: int | None,
        attributes: Mapping[str, object] | None,
        fingerprint: int = 0,
    ) -> ModelRecord:
        """Describes a model that is about to be stored.

        Args:
            model_id: its id.
            graph: its graph.
            weights: of every layer that has any.
            quality: its objective.
            parent: the model it is a mutation of.
            attributes: kept with the model.
            fingerprint: of the data that it was trained on; 0 says none.

        Raises:
            InvalidValueError: there is no id, the quality is no finite number, or the fingerprint
                is out of range.
        """
        if model_id is None:
            raise InvalidValueError("a model is stored under an id; give the evaluation a model_id")
        if not math.isfinite(quality):
            raise InvalidValueError(
                f"quality {quality!r} of model {format_model_id(model_id)} is no finite number"
            )
        return cls(
            model_id,
            graph.layer_keys.tolist(),
            {name: [[list(a.shape), str(a.dtype)] for a in own] for name, own in weights.items()},
            float(quality),
            time.time_ns(),
            parent,
            sum(array.nbytes for own in weights.values() for array in own),
            attributes=dict(attributes or {}),
            hash_scheme=HASH_SCHEME,
            fingerprint=check_fingerprint(fingerprint),
        )

    def to_json(self) -> str:
        """Returns the record as JSON."""
        fields = asdict(self)
        if self.fingerprint == 0:  # earlier releases refuse a record with a field they do not know
            del fields["fingerprint"]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> ModelRecord:
        """Reads what ``to_json`` gave.

        Args:
            text: the JSON.
            where: it comes from, for the error message.

        Raises:
            TransferError: it is something else, or was made under another hash scheme.
        """
        try:
            record = cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise TransferError(f"{where} is no record of a model: {error}; remove it") from error
        if record.hash_scheme != HASH_SCHEME:
            raise TransferError(
                f"{where} was stored by a release that named layers otherwise (scheme "
                f"{record.hash_scheme}, here {HASH_SCHEME}); go on with that release, or keep new "
                "models in another place"
            )
        return record

    def quality_of(self, graph: ArchitectureGraph) -> float:
        """Returns the quality, if this is the record of that graph.

        Raises:
            ModelExistsError: it is that of another one.
        """
        if set(self.keys) != set(graph.layer_keys.tolist()):
            raise ModelExistsError(
                f"model {format_model_id(self.model_id)} is stored with another architecture; "
                "ids are never reused, so give every evaluation its own"
            )
        return self.quality
