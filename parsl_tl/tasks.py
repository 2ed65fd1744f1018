"""The Parsl apps: thin wrappers, importable by other workflows.

The science is in plain functions elsewhere; here they are only made into tasks. Each maker takes
the labels of the executors to run on, and the kernel of a workflow that has more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

Executors = str | Sequence[str]


def evaluate(
    run_function: Callable[..., Any],
    parameters: Mapping[str, Any],
    kwargs: Mapping[str, Any],
    **limits: Any,
) -> Any:
    """Calls a run function; this is what travels to a worker.

    Args:
        run_function: what to call.
        parameters: its argument.
        kwargs: its keyword arguments.
        **limits: ``walltime`` in seconds, which Parsl enforces around this call.
    """
    return run_function(parameters, **kwargs)


def base_training(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Trains one candidate from scratch; see ``parsl_tl.training.run_base_trainer``."""
    from parsl_tl.training import run_base_trainer

    return run_base_trainer(parameters)


def transfer_training(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Trains one candidate on its donor; see ``parsl_tl.training.run_transfer_trainer``."""
    from parsl_tl.training import run_transfer_trainer

    return run_transfer_trainer(parameters)


def _app(
    function: Callable[..., Any], executors: Executors, kernel: DataFlowKernel | None
) -> Callable[..., Any]:
    import parsl

    labels = executors if isinstance(executors, str) else list(executors)
    app: Callable[..., Any] = parsl.python_app(
        function, executors=labels, data_flow_kernel=kernel, cache=False
    )
    return app


def evaluation_app(
    executors: Executors = "all", kernel: DataFlowKernel | None = None
) -> Callable[..., Any]:
    """Makes the app ``(run_function, parameters, kwargs) -> AppFuture`` of its result."""
    return _app(evaluate, executors, kernel)


def base_training_app(
    executors: Executors = "all", kernel: DataFlowKernel | None = None
) -> Callable[..., Any]:
    """Makes the app ``(parameters) -> AppFuture`` of ``run_base_trainer``'s result."""
    return _app(base_training, executors, kernel)


def transfer_training_app(
    executors: Executors = "all", kernel: DataFlowKernel | None = None
) -> Callable[..., Any]:
    """Makes the app ``(parameters) -> AppFuture`` of ``run_transfer_trainer``'s result."""
    return _app(transfer_training, executors, kernel)
