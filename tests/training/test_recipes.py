"""Recipes: schedules, weights, augmentation, several outputs, mapped data and streams, types."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from parsl_tl.errors import InvalidValueError, ProblemError
from parsl_tl.problems import Data, Problem
from parsl_tl.spaces import get_space
from parsl_tl.spaces.head import Head
from parsl_tl.training import BaseTrainer, TrainingConfig, run_base_trainer
from parsl_tl.training.compiling import judge
from parsl_tl.training.datasets import batches, training_batches
from parsl_tl.training.schedules import read_schedule, schedule_callback

ROWS = 96
SPACE = get_space("feed-forward", num_layers=1, units=(8, 16, 8), activations=["relu"])


class Pairs(Problem):
    """Which of two numbers is larger, and what is their sum."""

    name = "pairs"
    heads = (
        Head(
            shape=(2,),
            activation="softmax",
            name="larger",
            loss="categorical_crossentropy",
            metrics=("accuracy", "auroc", "auc_pr"),
        ),
        Head(shape=(1,), name="sum", metrics=("r2",), loss_weight=0.5, hidden=((4, "relu"),)),
    )
    objective = "val_larger_auroc"
    epochs = 3
    batch_size = 16
    learning_rate = 0.02

    def __init__(self):
        super().__init__()
        self.input_shape = {"a": (1,), "b": (1,)}

    def _load(self):
        a, b = np.random.default_rng(0).random((2, ROWS, 1), np.float32)
        x = {"b": b, "a": a}
        y = {"sum": a + b, "larger": np.eye(2, dtype=np.float32)[(a > b)[:, 0].astype(int)]}
        parts = [slice(0, 48), slice(48, 72), slice(72, None)]
        cut = [[{k: v[s] for k, v in arrays.items()} for arrays in (x, y)] for s in parts]
        return Data(*cut[0], *cut[1], *cut[2])


class Line(Problem):
    name, input_shape, output_shape, epochs, batch_size = "line", (2,), (1,), 2, 8

    def _load(self):
        x = np.random.default_rng(1).random((40, 2), np.float32)
        y = x.sum(axis=1, keepdims=True)
        return Data(x[:30], y[:30], x[30:], y[30:])


def train(problem, **overrides):
    graph = SPACE.build([1], problem.input_shape, problem.output_heads())
    trainer = BaseTrainer(TrainingConfig.for_problem(problem, **overrides), graph)
    trainer.run()
    return trainer


def test_several_outputs_have_metrics_of_their_names():
    problem = Pairs()
    trainer = train(problem)
    names = {"val_larger_accuracy", "val_larger_auroc", "val_sum_r2", "larger_loss", "sum_loss"}
    assert names <= set(trainer.report.history[0])
    test = judge(trainer.model, problem, problem.load(), 8, "test")
    x, y = problem.load().part("test")
    larger, total = trainer.model.predict(x, verbose=0)
    assert test["larger_accuracy"] == pytest.approx(
        (larger.argmax(1) == y["larger"].argmax(1)).mean()
    )
    truth, score = y["larger"][:, 1], larger[:, 1]
    # Keras adds up 200 thresholds.
    assert test["larger_auroc"] == pytest.approx(roc_auc_score(truth, score), abs=0.05)
    assert test["larger_auc_pr"] == pytest.approx(average_precision_score(truth, score), abs=0.08)
    assert test["sum_loss"] == pytest.approx(np.mean((total - y["sum"]) ** 2), rel=1e-4)


def test_another_objective_than_the_problems():
    assert train(Pairs(), objective="-val_sum_loss").report.objective < 0
    with pytest.raises(ProblemError, match="'val_nothing'"):
        train(Pairs(), objective="val_nothing")


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [1, 1, 1, 1]),
        ({"name": "constant", "warm_up": 1}, [0.5, 1, 1, 1]),
        ("cosine", [1, 0.853553, 0.5, 0.146447]),
        ({"name": "cosine", "warm_up": 2, "last": 0.5}, [1 / 3, 2 / 3, 1, 0.75]),
    ],
)
def test_rates_by_epoch(schedule, rates):
    callback = schedule_callback(schedule, 1.0, 4, "val_loss")
    assert [callback.schedule(epoch, 0.0) for epoch in range(4)] == pytest.approx(rates, rel=1e-5)


def test_the_rate_falls_when_the_objective_does_not_improve():
    schedule = {"name": "reduce-on-plateau", "patience": 1, "factor": 0.1}
    history = train(Line(), schedule=schedule, learning_rate=1e-9, epochs=5).report.history
    assert history[-1]["learning_rate"] < 1e-9


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", "cosine"),
        ({"name": "cosine", "warmup": 2}, "warm_up"),
        ({"name": "cosine", "warm_up": -1}, "warm_up=-1"),
        ({"name": "reduce-on-plateau", "factor": 2}, "factor=2"),
    ],
)
def test_wrong_schedules(schedule, message):
    with pytest.raises(InvalidValueError, match=message):
        read_schedule(schedule)


def test_the_optimizer_has_its_arguments():
    trainer = train(Line(), optimizer="sgd", optimizer_args={"momentum": 0.5}, clip_norm=0.1)
    assert (trainer.model.optimizer.momentum, trainer.model.optimizer.clipnorm) == (0.5, 0.1)
    with pytest.raises(InvalidValueError, match="momentums"):
        train(Line(), optimizer="sgd", optimizer_args={"momentums": 0.5})
    with pytest.raises(InvalidValueError, match="clip_norm is -1"):
        TrainingConfig.for_problem(Line(), clip_norm=-1)


def test_layers_compute_in_another_type_and_weights_stay():
    trainer = train(Line(), dtype_policy="mixed_bfloat16")
    hidden, output = (layer for layer in trainer.model.layers if layer.weights)
    assert (hidden.compute_dtype, hidden.kernel.dtype) == ("bfloat16", "float32")
    assert output.compute_dtype == "float32"
    with pytest.raises(InvalidValueError, match="dtype_policy is 'half'"):
        train(Line(), dtype_policy="half")


def test_weights_of_classes_change_what_is_learned():
    class Rare(Line):
        output_shape, output_activation, epochs = (2,), "softmax", 30
        loss, learning_rate = "sparse_categorical_crossentropy", 0.05

        def __init__(self, weights):
            super().__init__()
            self._weights = weights

        def _load(self):
            x = np.random.default_rng(2).random((60, 2), np.float32)
            y = np.array([0, 0, 0, 0, 1] * 12)
            return Data(x, y, x.copy(), y.copy(), class_weights=self._weights)

    shares = [
        (train(problem).model.predict(problem.load().x_valid, verbose=0).argmax(1)).mean()
        for problem in (Rare(None), Rare({1: 50.0}))
    ]
    assert shares[0] < 0.5 < shares[1]


def test_augmentation_changes_training_rows_alone():
    import keras

    class Noisy(Line):
        def augmentation(self):
            return [keras.layers.GaussianNoise(1.0)]

    problem = Noisy()
    trainer = train(problem)
    data = problem.load()
    rows = np.concatenate(
        [
            keras.ops.convert_to_numpy(x)
            for x, _ in training_batches(trainer.model, problem, data, 8, seed=0)
        ]
    )
    assert not np.isin(rows, data.x_train).any()
    known = [keras.ops.convert_to_numpy(x) for x, _ in batches(data.x_valid, data.y_valid, 8)]
    np.testing.assert_array_equal(np.concatenate(known), data.x_valid)

    class Wrong(Pairs):
        def augmentation(self):
            return {"c": [keras.layers.GaussianNoise(1.0)]}

    with pytest.raises(ProblemError, match=r"names the inputs \['c'\]"):
        train(Wrong())


@pytest.mark.parametrize("kind", ["tf.data", "PyDataset"])
def test_streams_are_trained_with(kind):
    import keras
    import tensorflow as tf

    class Batches(keras.utils.PyDataset):
        def __init__(self, x, y):
            super().__init__()
            self._x, self._y = x, y

        def __len__(self):
            return 5

        def __getitem__(self, index):
            rows = slice(index * 6, index * 6 + 6)
            return self._x[rows], self._y[rows]

    class Stream(Line):
        def _load(self):
            data = Line._load(self)
            if kind == "tf.data":
                pairs = tf.data.Dataset.from_tensor_slices((data.x_train, data.y_train))
                return Data(pairs.batch(6), None, data.x_valid, data.y_valid)
            return Data(Batches(data.x_train, data.y_train), None, data.x_valid, data.y_valid)

    problem = Stream()
    assert train(problem).report.objective < 0
    assert problem.fingerprint()


def test_the_problems_own_callbacks_are_called():
    import keras

    seen = []

    class Watched(Line):
        def callbacks(self):
            return [keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: seen.append(e))]

    train(Watched())
    assert seen == [0, 1]


def test_a_known_result_needs_no_training(user_module):
    job = {"problem": f"{user_module}:Known", "space": "feed-forward", "arch_seq": [3] * 10}
    done = run_base_trainer(job)
    assert done["objective"] == 30.0
    assert done["metadata"]["seconds_looked_up"] == 12.5
    assert done["metadata"]["latency"] == 7
    assert done["metadata"]["seconds_train"] == 0
