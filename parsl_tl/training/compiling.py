"""From a recipe to a compiled model that fits its problem, and what that is judged to be worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import ArchitectureError, InvalidValueError
from parsl_tl.problems import Data, Problem
from parsl_tl.problems.data import is_stream
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.datasets import for_keras, judging_batches, number_of
from parsl_tl.training.fused_adam import fuse_adam
from parsl_tl.training.held_layers import HeldRate
from parsl_tl.training.layer_rates import scale_rates
from parsl_tl.training.shared_metrics import create_metrics

if TYPE_CHECKING:
    import keras

_FEW_BATCHES = 4


def check_outputs(model: keras.Model, problem: Problem) -> None:
    """Compares what a model gives with what its problem needs.

    Raises:
        ArchitectureError: they have different shapes.
    """
    found = [tuple(tensor.shape) for tensor in model.outputs]
    expected = [(None, *head.shape) for head in problem.output_heads()]
    if found != expected:
        raise ArchitectureError(
            f"the model's output has the shape {found[0] if len(found) == 1 else found}, "
            f"problem {problem.name!r} needs {expected[0] if len(expected) == 1 else expected}"
        )


def compile_model(
    model: keras.Model,
    config: TrainingConfig,
    data: Data,
) -> None:
    """Compiles a model by a recipe, with a new optimizer.

    Adam corrects its moments by one count of steps for all variables; variables that join later,
    at a thaw, would make steps three times too large. So moments start anew.

    Args:
        model: of the problem.
        config: problem and recipe.
        data: the problem's.

    Raises:
        InvalidValueError: Keras does not have the optimizer, its arguments or the dtype policy.
    """
    compile_plainly(model, config)
    make_ready(model, config, data, rate_shares={})


def make_ready(
    model: keras.Model,
    config: TrainingConfig,
    data: Data,
    *,
    rate_shares: Mapping[int, float | HeldRate],
) -> None:
    """Creates what Keras would else create while it traces.

    Args:
        model: just compiled.
        config: problem and recipe.
        data: the problem's.
        rate_shares: share of the learning rate, by ``id`` of a variable; 1 for all others.
    """
    # Variables that Keras would create while tracing the training step make TensorFlow trace
    # it twice. Created before, they save about half of the time of a small evaluation.
    model.optimizer.build(model.trainable_variables)
    fuse_adam(model.optimizer)
    scale_rates(model.optimizer, rate_shares)
    if not is_stream(data.x_train):
        create_metrics(model, config.problem, data)


def compile_plainly(model: keras.Model, config: TrainingConfig) -> None:
    """Compiles a model by a recipe, as anyone would; see ``compile_model``."""
    heads = config.problem.output_heads()
    set_dtype_policy(model, config.dtype_policy)
    several = len(heads) > 1
    if several:
        # What Keras calls metrics after: else after layers, whose names count up in a process.
        model.output_names = [head.name for head in heads]
    losses = [head.loss for head in heads]
    model.compile(
        optimizer=_optimizer(config),
        loss=losses if several else losses[0],
        loss_weights=[head.loss_weight for head in heads] if several else None,
        metrics=config.problem.build_metrics(),
        jit_compile=config.is_compiled(),
    )


def judge(
    model: keras.Model, problem: Problem, data: Data, batch_size: int, part: str = "valid"
) -> dict[str, float]:
    """Returns loss and metrics of a compiled model on a part of the data, by their names.

    Raises:
        ProblemError: the data has no such part.
    """
    batches = judging_batches(model, problem, data, batch_size, part)
    number = number_of(batches)
    eagerly = model.run_eagerly
    # Tracing takes longer than a few batches.
    model.run_eagerly = eagerly or (number is not None and number <= _FEW_BATCHES)
    try:
        logs = model.evaluate(for_keras(batches), verbose=0, return_dict=True)
    finally:
        model.run_eagerly = eagerly
        model.test_function = None
    return {name: float(value) for name, value in logs.items()}


def _optimizer(config: TrainingConfig) -> Any:
    import keras

    arguments = {"learning_rate": config.learning_rate, **config.optimizer_args}
    if config.clip_norm is not None:
        arguments["clipnorm"] = config.clip_norm
    try:
        return keras.optimizers.get({"class_name": config.optimizer, "config": arguments})
    except (ValueError, TypeError) as error:
        raise InvalidValueError(
            f"optimizer is {config.optimizer!r} with {dict(config.optimizer_args)}, which Keras "
            f"does not have: {error}"
        ) from error


def set_dtype_policy(model: keras.Model, policy: str | None) -> None:
    """Makes all layers but the outputs compute in another dtype; their weights stay float32.

    Args:
        model: of the problem.
        policy: a dtype policy of Keras; None leaves all as it is.

    Raises:
        InvalidValueError: Keras does not have it.
    """
    if policy is None:
        return
    outputs = {tensor._keras_history.operation for tensor in model.outputs}
    try:
        for layer in model.layers:
            if layer not in outputs:
                layer.dtype_policy = policy
        model.dtype_policy = policy  # by which Keras decides whether the loss is scaled
    except ValueError as error:
        raise InvalidValueError(
            f"dtype_policy is {policy!r}; give a policy of Keras, such as 'mixed_bfloat16'"
        ) from error
