"""The Parsl apps: thin wrappers, importable by other workflows.

The science is in plain functions elsewhere; here they are only made into tasks. Each maker takes
the labels of the executors to run on, and the kernel of a workflow that has more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from parsl_tl.outcome import run_packed

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

    from parsl_tl.population import PartReport, PopulationDescription, PopulationTask

Executors = str | Sequence[str]


def base_training(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Trains one candidate from scratch; see ``parsl_tl.training.run_base_trainer``."""
    from parsl_tl.training import run_base_trainer

    return run_base_trainer(parameters)


def transfer_training(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Trains one candidate on its donor; see ``parsl_tl.training.run_transfer_trainer``."""
    from parsl_tl.training import run_transfer_trainer

    return run_transfer_trainer(parameters)


def graph_meta(files: Sequence[str], options: Sequence[str], **parsl: Any) -> str:
    """Returns the command line of the metadata service, for Parsl's shell on a worker.

    Args:
        files: of the population.
        options: of ``python -m parsl_tl.graph_meta``.
        **parsl: what Parsl itself takes: the resources, where the output goes.
    """
    import shlex
    import sys

    command = [sys.executable, "-m", "parsl_tl.graph_meta", *files, *options]
    return f"$PARSL_MPI_PREFIX {shlex.join(command)}"


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
    """Makes the app ``(call) -> AppFuture`` of ``parsl_tl.outcome.run_packed``'s result."""
    return _app(run_packed, executors, kernel)


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


def in_own_process(
    function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float, fresh: bool
) -> Any:
    """Calls a function in a process of the worker's own, which may die without harm to the worker.

    See ``parsl_tl.task_process.run_in_own_process``.
    """
    from parsl_tl.task_process import run_in_own_process

    return run_in_own_process(function, arguments, seconds, fresh)


def own_process_app(
    executors: Executors = "all", kernel: DataFlowKernel | None = None
) -> Callable[..., Any]:
    """Makes the app ``(function, arguments, seconds, fresh) -> AppFuture`` of its result."""
    return _app(in_own_process, executors, kernel)


class PopulationFutures(NamedTuple):
    """A population that is on its way.

    Attributes:
        parts: one ``AppFuture`` of a ``PartReport`` per part, as they become ready.
        whole: ``AppFuture`` of the list of all reports; until then readers must wait.
    """

    parts: list[Any]
    whole: Any


def write_population_part(task: PopulationTask, part: int, parts: int) -> PartReport:
    """Writes one part of a population; see ``parsl_tl.population.write_part``."""
    from parsl_tl.population import write_part

    return write_part(task, part, parts)


def finish_population(folder: Path, inputs: Sequence[PartReport]) -> list[PartReport]:
    """Removes what an earlier population in more parts left; called when all parts are there."""
    from parsl_tl.population.folder import remove_parts

    remove_parts(folder, len(inputs))
    return list(inputs)


def generate_population(
    description: PopulationDescription,
    folder: str | Path,
    *,
    formats: Sequence[str] = ("json", "parquet"),
    parts: int | None = None,
    executors: Executors = "all",
    kernel: DataFlowKernel | None = None,
) -> PopulationFutures:
    """Generates a population on the workers, a part of it in each task.

    Args:
        description: what to generate; however many parts and workers, it comes out the same.
        folder: where it goes, as the workers see it.
        formats: ``json`` (Keras JSON), ``parquet``, ``arrow``.
        parts: how many tasks; by default one for every 5,000 models.
        executors: labels of the executors to run on.
        kernel: of a workflow that has more than one.

    Raises:
        PopulationError: a folder that cannot be written, or values that do not fit each other.
        SpaceError: an unknown space, or shapes that it does not take.
    """
    from parsl_tl.population import plan

    return population_futures(plan(description, folder, formats), parts, executors, kernel)


def evolve_population(
    initial_folder: str | Path,
    folder: str | Path,
    evolve_count: int,
    *,
    seed: int = 0,
    formats: Sequence[str] = ("json", "parquet"),
    parts: int | None = None,
    executors: Executors = "all",
    kernel: DataFlowKernel | None = None,
) -> PopulationFutures:
    """Changes one choice in each of the first members of a population, on the workers.

    Args:
        initial_folder: the population to begin with, in however many parts.
        folder: where the evolved one goes; another folder.
        evolve_count: how many members change; the others stay as they are.
        seed: of the changes.
        formats: see ``generate_population``.
        parts: see ``generate_population``.
        executors: labels of the executors to run on.
        kernel: of a workflow that has more than one.

    Raises:
        PopulationError: there is no population, a folder cannot be written, or values do not fit.
    """
    from parsl_tl.population import plan

    task = plan(
        None,
        folder,
        formats,
        initial_folder=initial_folder,
        evolve_count=evolve_count,
        seed=seed,
    )
    return population_futures(task, parts, executors, kernel)


def population_futures(
    task: PopulationTask,
    parts: int | None = None,
    executors: Executors = "all",
    kernel: DataFlowKernel | None = None,
) -> PopulationFutures:
    """Starts the tasks of a population that was planned; see ``generate_population``."""
    from parsl_tl.population.generate import default_parts

    count = default_parts(task.description.size) if parts is None else parts
    write = _app(write_population_part, executors, kernel)
    finish = _app(finish_population, executors, kernel)
    futures = [write(task, part, count) for part in range(count)]
    return PopulationFutures(futures, finish(task.folder, inputs=futures))


def graph_meta_app(
    executors: Executors = "all", kernel: DataFlowKernel | None = None
) -> Callable[..., Any]:
    """Makes the app ``(files, out, *options, num_nodes=1, ranks_per_node=2) -> AppFuture``.

    It runs ``python -m parsl_tl.graph_meta`` on the nodes that Parsl's MPI mode gives it, so that
    the executor is an ``MPIExecutor``, as in the configuration ``local_mpi``. The future's result
    is 0; a program that fails raises ``BashExitFailure``, and tells why on its standard error.
    ``stdout`` and ``stderr`` name files for that, as for every Parsl bash app.
    """
    import parsl

    # Unlike a python_app, it takes a single label in a list only.
    alone = isinstance(executors, str) and executors != "all"
    labels = [executors] if alone else executors
    app = parsl.bash_app(graph_meta, executors=labels, data_flow_kernel=kernel, cache=False)

    def start(
        files: Sequence[str | Path],
        out: str | Path,
        *options: str,
        num_nodes: int = 1,
        ranks_per_node: int = 2,
        **outputs: Any,
    ) -> Any:
        # Workers have a working directory of their own.
        paths = [str(Path(path).absolute()) for path in files]
        resources = {"num_nodes": num_nodes, "ranks_per_node": ranks_per_node}
        return app(
            paths,
            [*options, "--out", str(Path(out).absolute())],
            parsl_resource_specification=resources,
            **outputs,
        )

    return start
