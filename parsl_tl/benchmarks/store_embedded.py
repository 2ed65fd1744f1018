"""The embedded store as the store benchmark measures it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

from parsl_tl.benchmarks.store_methods import READ, WRITE, Method, Operation, copy_all
from parsl_tl.benchmarks.store_models import (
    PARTS,
    TENTH,
    WHOLE,
    Array,
    BenchModel,
    LayerWeights,
    flat,
)
from parsl_tl.store import ModelStore, open_store

VIEWS, COPY, INTO = "views", "views+copy", "into"
FIRST, REPEAT = "first", "repeat"
_IDS_PER_WORKER = 1 << 40


def checksum_word(checksums: bool) -> str:
    """Returns how ``how`` tells whether checksums are on."""
    return f"checksums {'on' if checksums else 'off'}"


class Embedded(Method):
    """Models in an embedded store that all processes of a case share.

    A tenth is written as a child that owns the last tenth of the layers and inherits the others
    from a model that is there. The first read after opening maps the segment and, with checksums
    on, verifies what it delivers; opening itself is not timed. In a repeated read this process
    still holds arrays of the model: the store unmaps a segment that nobody holds any more, and
    then the next read is a first one again.
    """

    def __init__(
        self, model: BenchModel, out: LayerWeights, folder: Path, worker: int, checksums: bool
    ) -> None:
        """Opens the store.

        Args:
            model: what is written.
            out: arrays to read into.
            folder: the store's.
            worker: number of this process, from which model ids follow.
            checksums: see ``open_store``.
        """
        self._model = model
        self._out = out
        self._layers = {part: model.layers(part) for part in PARTS}
        self._uri = f"embedded:{folder}"
        self._checksums = checksums
        self._base = worker * _IDS_PER_WORKER
        self._numbers = itertools.count(self._base + 1)
        self._store = self._open()
        self._fresh: ModelStore | None = None
        self._held: Any = None

    def _open(self) -> ModelStore:
        return open_store(self._uri, checksums=self._checksums)

    def operations(self) -> list[Operation]:
        """See ``Method``."""
        self._put(self._base, WHOLE)
        self._held = self._store.read(self._base)
        found = [self._write_op(part) for part in PARTS]
        for part in PARTS:
            for what in (VIEWS, COPY, INTO):
                found += [self._read_op(part, what, when) for when in (FIRST, REPEAT)]
        return found

    def close(self) -> None:
        """Closes the store; the folder stays."""
        self._held = None
        self._close_fresh()
        self._store.close()

    def _put(self, model_id: int, part: str) -> None:
        self._store.put(
            model_id,
            self._model.graph,
            self._layers[part],
            quality=0.5,
            donor=self._base if part == TENTH else None,
        )

    def _write_op(self, part: str) -> Operation:
        model_id = self._base

        def before() -> None:
            nonlocal model_id
            model_id = next(self._numbers)

        def written(_: Any) -> list[Array]:
            with self._open() as store:
                whole = flat(cast(LayerWeights, store.read(model_id)))
            # A child is whole: what it inherits must be there too.
            return whole[-len(self._model.arrays(part)) :] if self._is_whole(whole) else []

        return Operation(
            "store",
            WRITE,
            part,
            f"put, {checksum_word(self._checksums)}",
            lambda: self._put(model_id, part),
            written,
            before,
            lambda: self._retire(model_id),
        )

    def _is_whole(self, arrays: list[Array]) -> bool:
        return len(arrays) == len(self._model.arrays(WHOLE))

    def _retire(self, model_id: int) -> None:
        self._store.retire(model_id)

    def _read_op(self, part: str, what: str, when: str) -> Operation:
        names = None if part == WHOLE else self._model.names(part)
        targets = {name: self._out[name] for name in self._model.names(part)}
        flat_targets = flat(targets)

        def run() -> Any:
            store = self._fresh if when == FIRST else self._store
            assert store is not None
            if what == INTO:
                return store.read(self._base, names, out=targets)
            views = store.read(self._base, names)
            if what == COPY:
                copy_all(flat(cast(LayerWeights, views)), flat_targets)
            return views

        def arrays(result: Any) -> list[Array]:
            return flat(result) if what == VIEWS else flat_targets

        return Operation(
            "store",
            READ,
            part,
            f"{what}, {when}, {checksum_word(self._checksums)}",
            run,
            arrays,
            self._open_fresh if when == FIRST else lambda: None,
            self._close_fresh,
        )

    def _open_fresh(self) -> None:
        self._fresh = self._open()

    def _close_fresh(self) -> None:
        if self._fresh is not None:
            self._fresh.close()
            self._fresh = None
