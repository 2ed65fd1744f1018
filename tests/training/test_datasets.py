"""Batches: every row once per epoch, in an order that the seed fixes."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import psutil
import pytest

from parsl_tl.training import datasets
from parsl_tl.training.datasets import batches, for_keras, validation_batch_size

X = np.arange(10, dtype=np.float32).reshape(10, 1)
Y = 2 * X


def epoch(dataset) -> list[float]:
    return [float(value) for x, _ in dataset for value in x.numpy()[:, 0]]


def test_order_is_kept_without_a_seed() -> None:
    assert epoch(batches(X, Y, 4)) == X[:, 0].tolist()


def test_every_epoch_is_shuffled_anew_and_by_seed() -> None:
    first, again, other = (batches(X, Y, 4, seed=seed) for seed in (1, 1, 2))
    epochs = [epoch(first), epoch(first)]
    assert sorted(epochs[0]) == X[:, 0].tolist()
    assert epochs[0] != epochs[1]
    assert epochs == [epoch(again), epoch(again)]
    assert epochs[0] != epoch(other)


def test_rows_stay_with_their_targets() -> None:
    for x, y in batches(X, Y, 3, seed=0):
        np.testing.assert_array_equal(2 * x.numpy(), y.numpy())


def test_last_batch_is_smaller_and_batch_axis_is_free() -> None:
    dataset = batches((X, Y), Y, 4)
    assert [len(y) for _, y in dataset] == [4, 4, 2]
    (x, _), y = for_keras(dataset).element_spec
    assert x.shape.as_list() == y.shape.as_list() == [None, 1]


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("at_hand", [2**30, 0], ids=["at hand", "read ahead"])
@pytest.mark.parametrize("offset", [0, 4], ids=["aligned", "not aligned"])
def test_mapped_rows_are_those_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int, at_hand: int, seed: int | None
) -> None:
    monkeypatch.setattr(datasets, "_AT_HAND_BYTES", at_hand)
    x = np.random.default_rng(3).random((5_000, 3), np.float32)
    (tmp_path / "x").write_bytes(bytes(offset) + x.tobytes())
    mapped = np.memmap(tmp_path / "x", np.float32, "r", offset, x.shape)
    made = batches(mapped, x, 800, seed)
    assert made.are_at_hand == (at_hand > 0)
    for (one, target), (other, _) in zip(made, batches(x, x, 800, seed), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, target)


def test_mapped_rows_are_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((64, 2**20), np.float32))  # 256 MiB
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    y = np.zeros(64, np.float32)
    before = psutil.Process().memory_full_info().uss
    kept = [batches(mapped, y, 1, seed) for seed in range(3)]
    assert sum(float(x[0, 0]) for one in kept for x, _ in one) == 3 * 64
    # What is mapped and nobody else has mapped counts, once.
    assert psutil.Process().memory_full_info().uss - before < 1.5 * mapped.nbytes


def model_of(width: int, copies: int = 1) -> keras.Model:
    """A model without weights whose largest output is so many times its input."""
    return keras.Sequential([keras.Input((width,)), keras.layers.RepeatVector(copies)])


@pytest.mark.parametrize(
    ("width", "rows", "expected"), [(1, 100, 100), (2**24, 100, 1), (2**20, 100, 4)]
)
def test_validation_batch_is_bounded(width: int, rows: int, expected: int) -> None:
    x = np.broadcast_to(np.float32(0), (rows, width))
    assert validation_batch_size(model_of(width), x, 1) == expected
    x = np.broadcast_to(np.float32(0), (rows, 1))
    assert validation_batch_size(model_of(1, copies=width), x, 1) == expected


def test_validation_batch_is_no_smaller_than_a_training_batch() -> None:
    x, model = np.broadcast_to(np.float32(0), (100, 2**24)), model_of(2**24)
    assert validation_batch_size(model, x, 32) == 32
    assert validation_batch_size(model, x[:8], 32) == 8
