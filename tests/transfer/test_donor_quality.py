"""Which stored model is the donor when length and quality say different things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.transfer import StoreTransfer
from parsl_tl.transfer.store import disconnect
from parsl_tl.transfer.weights import layers_with_weights

LONG_AND_POOR, SHORT_AND_GOOD = 1, 2


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    yield f"embedded:{tmp_path / 'store'}"
    disconnect()


def network(*units: int) -> keras.Model:
    inputs = tensor = keras.Input((6,))
    for width in units:
        tensor = keras.layers.Dense(width)(tensor)
    return keras.Model(inputs, tensor)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(
    ("options", "donor"),
    [
        ({}, LONG_AND_POOR),
        ({"quality_rate": 1.0}, LONG_AND_POOR),  # 0.4 of quality are worth 0.4 layers
        ({"quality_rate": 20.0}, SHORT_AND_GOOD),  # and here 8
        ({"min_quality": 0.6}, SHORT_AND_GOOD),
        ({"min_quality": 1.0}, None),
    ],
)
def test_the_donor(uri: str, options: dict[str, Any], donor: int | None, overlap: bool) -> None:
    method = StoreTransfer(uri, overlap=overlap, **options)
    for model_id, quality, units in (
        (LONG_AND_POOR, 0.5, (5, 4, 3)),
        (SHORT_AND_GOOD, 0.9, (5, 4, 2)),
    ):
        model = network(*units)
        graph = ArchitectureGraph.from_keras(model)
        names = layers_with_weights(model, graph)
        method.store(
            model,
            graph,
            names,
            model_id=model_id,
            quality=quality,
        )
    child = network(5, 4, 3, 7)
    got = method.transfer(child, ArchitectureGraph.from_keras(child), model_id=3)
    assert got.donor == donor
