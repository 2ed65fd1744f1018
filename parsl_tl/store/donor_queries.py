"""Queries for donors: which stored model shares the longest prefix with an architecture."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from parsl_tl.deprecation import renamed_method
from parsl_tl.errors import InvalidValueError
from parsl_tl.events import annotate
from parsl_tl.store.answers import FoundDonors, Match
from parsl_tl.store.model_id import format_model_id
from parsl_tl.store.query_options import ScoreBy, class_weights, query_options
from parsl_tl.store.recorded_calls import recorded

if TYPE_CHECKING:
    from parsl_tl._native import Engine, RemoteStore
    from parsl_tl.architecture import ArchitectureGraph


class DonorQueries:
    """The queries of a model store."""

    _engine: Engine | RemoteStore

    @recorded("store.find_donor")
    def find_donor(
        self,
        graph: ArchitectureGraph,
        *,
        by: ScoreBy = "layers",
        quality_rate: float = 0.0,
        min_quality: float | None = None,
        exclude: Collection[int] = (),
        fingerprints: Collection[int] | None = None,
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
            fingerprints: of the data of models that may be found, as ``put`` was told them; 0
                stands for models of which nothing was said. Any model when None.

        Returns:
            The match, or None if no model shares a layer.

        Raises:
            InvalidValueError: a negative rate or weight, NaN, an unknown ``by``, a fingerprint that
                is no unsigned 64-bit integer.
        """
        how = query_options(by, quality_rate, min_quality, exclude, fingerprints)
        pinned = self._engine.find_donor(graph.layer_keys, class_weights([graph], by), **how)
        if pinned is None:
            return None
        num_bytes: dict[int, int] = pinned.layer_bytes()
        common = [
            (name, num_bytes[key])
            for name, key in zip(graph.layer_names, graph.layer_keys.tolist(), strict=True)
            if key in num_bytes
        ]
        match = Match(
            model_id=pinned.model_id,
            layer_names=[name for name, _ in common],
            num_bytes=sum(size for _, size in common),
            quality=pinned.quality,
            _pinned=pinned,
        )
        annotate(donor=format_model_id(match.model_id), layers=len(common))
        return match

    @recorded("store.find_donors")
    def find_donors(
        self,
        graphs: Sequence[ArchitectureGraph],
        *,
        by: ScoreBy = "layers",
        quality_rate: float = 0.0,
        min_quality: float | None = None,
        exclude: Collection[int] = (),
        fingerprints: Collection[int] | None = None,
        threads: int | None = None,
    ) -> FoundDonors:
        """Answers many queries in one call, on several threads.

        Args:
            graphs: the candidates' architectures.
            by: see ``find_donor``, as are the next four.
            quality_rate: see there.
            min_quality: see there.
            exclude: see there.
            fingerprints: see there.
            threads: how many; all cores when None.

        Returns:
            Arrays with one value for each candidate. Nothing is pinned: a model that is retired
            afterwards cannot be read any more.
        """
        keys = [graph.layer_keys for graph in graphs]
        starts = np.cumsum([0, *(len(own) for own in keys)], dtype=np.int64)
        flat = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        how = query_options(by, quality_rate, min_quality, exclude, fingerprints)
        count = threads if threads is not None else len(os.sched_getaffinity(0))
        if count < 1:
            raise InvalidValueError(f"threads={threads!r} must be at least 1")
        weights = class_weights(graphs, by)
        return FoundDonors(*self._engine.find_donors(flat, starts, weights, **how, threads=count))

    best_ancestor = renamed_method("best_ancestor", "find_donor")
    best_ancestors = renamed_method("best_ancestors", "find_donors")
