"""Trainers on real data and a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import (
    ArchitectureError,
    InvalidValueError,
    NaNLossError,
    ProblemError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreUnreachableError,
    TransferError,
)
from parsl_tl.problems import Data, Digits, Problem, Synthetic
from parsl_tl.store import open_store
from parsl_tl.training import BaseTrainer, TrainingConfig, TransferTrainer
from parsl_tl.transfer import NoTransfer, Stored, StoreTransfer, Transferred
from parsl_tl.transfer.store import disconnect

DIGITS = Digits()


class Pair(Problem):
    """The difference of two inputs."""

    name = "pair"
    output_shape = (1,)
    epochs = 2

    def __init__(self) -> None:
        super().__init__()
        self.input_shape = [(2,), (3,)]

    def _load(self) -> Data:
        random = np.random.default_rng(0)
        a, b = (random.random((40, width), dtype=np.float32) for width in (2, 3))
        y = a.sum(axis=1, keepdims=True) - b.sum(axis=1, keepdims=True)
        return Data((a[:30], b[:30]), y[:30], (a[30:], b[30:]), y[30:])


class Flaky(NoTransfer):
    """A method whose donors are out of reach."""

    def transfer(self, model: Any, graph: Any, **kwargs: Any) -> Transferred:
        raise TransferError("the server at 10.0.0.1 does not answer")


class Away(NoTransfer):
    """A method whose store fails when it is to keep something."""

    def __init__(self, error: StoreError) -> None:
        self.error = error

    def store(self, *args: Any, **kwargs: Any) -> Stored:
        raise self.error


class Late(NoTransfer):
    """A method that stores in the background, and failed with an earlier model."""

    def store(self, *args: Any, **kwargs: Any) -> Stored:
        return Stored(7, ("a",), None, pending=True, failures={10: "X: no", 11: "Y: no"})


@pytest.fixture
def method(tmp_path: Path) -> Iterator[StoreTransfer]:
    yield StoreTransfer(f"embedded:{tmp_path / 'store'}")
    disconnect()


def chain(*units: int, normalize: bool = False) -> ArchitectureGraph:
    inputs = tensor = keras.Input((64,))
    for width in units:
        tensor = keras.layers.Dense(width, activation="relu")(tensor)
        if normalize:
            tensor = keras.layers.BatchNormalization()(tensor)
    outputs = keras.layers.Dense(10, activation="softmax")(tensor)
    return ArchitectureGraph.from_keras(keras.Model(inputs, outputs))


def config(**overrides: Any) -> TrainingConfig:
    return TrainingConfig.for_problem(DIGITS, **{"epochs": 2, **overrides})


def judged(model: keras.Model) -> float:
    data = DIGITS.load()
    predicted = model.predict(data.x_valid, verbose=0).argmax(axis=1)
    return float((predicted == data.y_valid.argmax(axis=1)).mean())


class TestBaseTrainer:
    def test_learns_and_reports(self) -> None:
        report = BaseTrainer(config(epochs=4), chain(64, 32)).run()
        assert report.objective is not None
        assert report.objective > 0.8
        assert report.epochs == len(report.history) == 4
        assert 1 <= report.best_epoch <= 4
        assert report.parameters_total == report.parameters_trainable == 64 * 65 + 65 * 32 + 330
        assert report.bytes_total == 4 * report.parameters_total
        assert report.layers_total == 3
        assert 0 < report.seconds_build + report.seconds_train <= report.seconds_total

    def test_the_objective_is_that_of_the_weights_that_are_kept(self) -> None:
        # A wild learning rate, so that the last epoch is seldom the best one.
        trainer = BaseTrainer(config(epochs=6, learning_rate=0.05), chain(48))
        report = trainer.run()
        values = [logs["val_accuracy"] for logs in report.history]
        assert report.objective == max(values)
        equals = [epoch for epoch, value in enumerate(values, 1) if value == max(values)]
        assert report.best_epoch == min(
            equals, key=lambda epoch: report.history[epoch - 1]["val_loss"]
        )
        assert judged(trainer.model) == pytest.approx(report.objective, abs=1e-6)

    def test_patience(self) -> None:
        report = BaseTrainer(
            config(epochs=40, early_stopping_patience=2, learning_rate=0.02), chain(32)
        ).run()
        values = [logs["val_accuracy"] for logs in report.history]
        assert report.epochs == values.index(max(values)) + 3 < 40

    def test_by_seed(self) -> None:
        first, again, other = (
            BaseTrainer(config(seed=seed), chain(16)).run().history for seed in (1, 1, 2)
        )
        assert first == again != other

    def test_a_model_of_ones_own(self) -> None:
        model = keras.Sequential(
            [keras.Input((64,)), keras.layers.Dense(10, "softmax", name="only")]
        )
        trainer = BaseTrainer(config(), model)
        assert trainer.run().layers_total == 1
        assert trainer.model is model

    def test_several_inputs(self) -> None:
        a, b = keras.Input((2,)), keras.Input((3,))
        merged = keras.layers.Concatenate()([a, b])
        model = keras.Model([a, b], keras.layers.Dense(1)(merged))
        report = BaseTrainer(TrainingConfig.for_problem(Pair()), model).run()
        assert report.objective == max(-logs["val_loss"] for logs in report.history)

    def test_regression(self) -> None:
        problem = Synthetic(rows=2000, width=4)
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        report = BaseTrainer(
            TrainingConfig.for_problem(problem, epochs=8, learning_rate=0.1), model
        ).run()
        assert report.objective == pytest.approx(1.0, abs=0.01)

    def test_divergence(self) -> None:
        trainer = BaseTrainer(config(learning_rate=1e30), chain(8))
        with pytest.raises(NaNLossError, match="loss is nan"):
            trainer.run()
        assert trainer.report.objective is None
        assert trainer.report.seconds_total > 0

    def test_output_of_another_shape(self) -> None:
        inputs = keras.Input((64,))
        with pytest.raises(ArchitectureError, match=r"\(None, 3\).*\(None, 10\)"):
            BaseTrainer(config(), keras.Model(inputs, keras.layers.Dense(3)(inputs))).run()

    def test_unknown_optimizer(self) -> None:
        with pytest.raises(InvalidValueError, match="optimizer is 'adamant'"):
            BaseTrainer(config(optimizer="adamant"), chain()).run()

    def test_unknown_objective(self) -> None:
        class Wrong(Digits):
            objective = "val_auc"

        with pytest.raises(ProblemError, match="val_auc"):
            BaseTrainer(TrainingConfig.for_problem(Wrong(), epochs=1), chain()).run()


class TestTransferTrainer:
    def test_parent_and_child(self, method: StoreTransfer) -> None:
        parent = TransferTrainer(config(model_id=1), chain(32, 24), method).run()
        assert (parent.donor, parent.layers_transferred) == (None, 0)
        assert parent.bytes_stored == parent.bytes_total

        child = TransferTrainer(config(model_id=2, parent=1), chain(32, 16), method).run()
        assert (child.donor, child.parent) == (1, 1)
        assert (child.layers_matched, child.layers_transferred, child.layers_total) == (2, 1, 3)
        assert child.bytes_transferred == 4 * 65 * 32
        assert child.bytes_stored == child.bytes_total - child.bytes_transferred
        assert child.parameters_trainable == child.parameters_total - 65 * 32
        with open_store(method.uri) as store:
            assert store.info(2)["quality"] == child.objective
            assert store.verify().ok

    @pytest.mark.parametrize("normalize", [False, True])
    def test_what_came_over_is_frozen(self, method: StoreTransfer, normalize: bool) -> None:
        TransferTrainer(config(model_id=1), chain(16, 8, normalize=normalize), method).run()
        trainer = TransferTrainer(config(model_id=2), chain(16, 6, normalize=normalize), method)
        trainer.run()
        with open_store(method.uri) as store:
            owners = store.composition(2)
            shared = [name for name, owner in owners.items() if owner == 1 and "Input" not in name]
            assert len(shared) == (2 if normalize else 1)
            for name in shared:
                for mine, theirs in zip(
                    trainer.model.get_layer(name).get_weights(), store.read(1)[name], strict=True
                ):
                    np.testing.assert_array_equal(mine, theirs)

    def test_the_stored_model_is_the_one_that_was_judged(self, method: StoreTransfer) -> None:
        TransferTrainer(config(model_id=1), chain(32), method).run()
        report = TransferTrainer(
            config(model_id=2, epochs=5, learning_rate=0.05), chain(32, 16), method
        ).run()
        with open_store(method.uri) as store:
            model = store.graph(2).to_keras()
            for name, arrays in store.read(2).items():
                model.get_layer(name).set_weights(arrays)
        assert judged(model) == pytest.approx(report.objective, abs=1e-6)

    def test_from_scratch_is_stored_all_the_same(self, method: StoreTransfer) -> None:
        TransferTrainer(config(model_id=1), chain(16), method).run()
        report = TransferTrainer(config(model_id=2, from_scratch=True), chain(16), method).run()
        assert (report.donor, report.layers_transferred) == (None, 0)
        assert report.bytes_stored == report.bytes_total

    def test_nothing_left_to_train(self, method: StoreTransfer) -> None:
        first = TransferTrainer(config(model_id=1), chain(16), method).run()
        twin = TransferTrainer(config(model_id=2, seed=9), chain(16), method).run()
        assert twin.objective == pytest.approx(first.objective, abs=1e-6)
        assert (twin.epochs, twin.best_epoch, twin.parameters_trainable) == (0, 0, 0)
        assert twin.bytes_stored == 0

    def test_an_earlier_attempt_is_not_repeated(self, method: StoreTransfer) -> None:
        first = TransferTrainer(config(model_id=1), chain(16), method).run()
        again = TransferTrainer(config(model_id=1, seed=5), chain(16), method).run()
        assert again.recalled
        assert again.layers_total == first.layers_total > 0
        assert again.parameters_total == first.parameters_total > 0
        assert not first.recalled
        assert again.objective == first.objective
        assert again.epochs == 0

    def test_transfer_that_fails_is_done_without(self) -> None:
        report = TransferTrainer(config(), chain(16), Flaky()).run()
        assert report.objective is not None
        assert report.transfer_error == "TransferError: the server at 10.0.0.1 does not answer"

    @pytest.mark.parametrize("kind", [StoreUnreachableError, StoreBusyError])
    def test_a_store_that_does_not_answer_costs_no_objective(self, kind: type[StoreError]) -> None:
        method = Away(kind("store server ofi+tcp://10.0.0.1:4000: no reply"))
        report = TransferTrainer(config(model_id=255), chain(16), method).run()
        assert report.objective is not None
        assert report.store_error == f"{kind.__name__}: {method.error}"
        assert report.not_stored == "00000000000000ff"
        assert report.bytes_stored == 0

    def test_a_store_that_fails_otherwise_fails_the_evaluation(self) -> None:
        with pytest.raises(StoreFullError):
            TransferTrainer(config(model_id=1), chain(16), Away(StoreFullError("full"))).run()

    def test_what_happened_to_earlier_models_is_told(self) -> None:
        report = TransferTrainer(config(model_id=1), chain(16), Late()).run()
        assert report.store_pending
        assert report.bytes_stored == 7
        assert report.not_stored == "000000000000000a 000000000000000b"
        assert report.store_error == "model 000000000000000a: X: no; model 000000000000000b: Y: no"

    def test_by_seed(self, tmp_path: Path) -> None:
        histories = []
        for name in ("a", "b"):
            method = StoreTransfer(f"embedded:{tmp_path / name}")
            TransferTrainer(config(model_id=1, seed=3), chain(16, 8), method).run()
            child = TransferTrainer(config(model_id=2, seed=4), chain(16, 12), method)
            histories.append(child.run().history)
            method.close()
        assert histories[0] == histories[1]


class TestUnfreezing:
    def test_thawed_layers_are_trained_and_owned(self, method: StoreTransfer) -> None:
        TransferTrainer(config(model_id=1, epochs=1), chain(32, 16), method).run()
        report = TransferTrainer(
            config(model_id=2, epochs=5, unfreeze_after=2), chain(32, 24), method
        ).run()
        assert report.epochs == 5
        assert report.best_epoch > 2  # after one epoch, there is much to gain
        assert report.bytes_stored == report.bytes_total
        with open_store(method.uri) as store:
            assert not np.array_equal(
                *(store.read(model_id)[store.graph(2).layer_names[1]][0] for model_id in (1, 2))
            )
            assert store.verify().ok

    def test_the_best_epoch_may_come_before(self, method: StoreTransfer) -> None:
        TransferTrainer(config(model_id=1, epochs=6), chain(32, 16), method).run()

        class Fading(Digits):
            """A problem in which only the first epoch counts."""

            def score(self, logs: Any) -> float:
                self.seen = getattr(self, "seen", 0) + 1
                return -float(self.seen)

        recipe = TrainingConfig.for_problem(Fading(), model_id=2, epochs=4, unfreeze_after=2)
        trainer = TransferTrainer(recipe, chain(32, 24), method)
        report = trainer.run()
        assert (report.epochs, report.best_epoch) == (4, 1)
        assert report.bytes_stored == report.bytes_total - report.bytes_transferred
        shared = trainer.graph.layer_names[1]
        with open_store(method.uri) as store:
            np.testing.assert_array_equal(
                trainer.model.get_layer(shared).get_weights()[0], store.read(1)[shared][0]
            )

    def test_patience_ends_the_frozen_part_early(self, method: StoreTransfer) -> None:
        TransferTrainer(config(model_id=1, epochs=4), chain(16), method).run()

        class Flat(Digits):
            def score(self, logs: Any) -> float:
                return 0.5

        recipe = TrainingConfig.for_problem(
            Flat(), model_id=2, epochs=30, early_stopping_patience=2, unfreeze_after=20
        )
        report = TransferTrainer(recipe, chain(16, 8), method).run()
        # Epoch 1 is the best; 2 and 3 end the frozen part, 4 and 5 the thawed one.
        assert report.epochs == 5

    def test_a_wholly_transferred_model_is_thawed_at_once(self, method: StoreTransfer) -> None:
        TransferTrainer(config(model_id=1, epochs=1), chain(16), method).run()
        report = TransferTrainer(
            config(model_id=2, epochs=3, unfreeze_after=2), chain(16), method
        ).run()
        assert report.epochs == 3
        assert report.bytes_stored == report.bytes_total

    def test_too_late_to_thaw(self, method: StoreTransfer) -> None:
        TransferTrainer(config(model_id=1), chain(16), method).run()
        report = TransferTrainer(config(model_id=2, unfreeze_after=2), chain(16, 8), method).run()
        assert report.epochs == 2
        assert report.bytes_stored < report.bytes_total
