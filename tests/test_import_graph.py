"""No module of the package imports, by whatever detour, one that imports it, or one above it.

Imports inside of functions and those for types alone count like all others.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import parsl_tl

PACKAGE = Path(parsl_tl.__file__).parent

# From the top down: each imports what stands below it, and nobody beside it. Searches are made of
# tasks, so that tasks stand below them.
LAYERS = (
    {"cli", "apps"},
    {"__init__"},  # the public names
    {"export", "tracking"},
    {"report"},
    {"graph_meta"},
    {"benchmarks", "study"},
    {"analysis"},
    {"search"},
    {"tasks"},
    {"population", "federation", "cluster"},
    {"training"},
    {"transfer", "problems"},
    {"store", "spaces"},
    {"architecture"},
    # What runs tasks: Parsl, its processes and its configurations.
    {"parsl_kernel", "configuration", "executor_watch"},
    {"sites"},
    {"block_watch", "block_launcher"},
    {"block_errors", "worker_pool", "worker_template"},
    {"kernel_end", "loaded_kernel", "parsl_reuse", "node_store", "block_end"},
    {"worker_start"},
    {"interchange", "interchange_stand_in", "stop_signals", "task_process", "task_retries"},
    {"gpu_pinning"},
    # The ground.
    {"registry"},
    {"native", "reporting", "exit_codes", "outcome", "mpi", "parent_death"},
    {"events"},
    {"_flight", "_thallium"},
    {"_native", "_baselines", "_bare_flight", "_bare_thallium"},
    {"imports"},
    {"arguments", "suggestions", "deprecation", "lazy_imports", "rare_collection", "log_file"},
    {"errors"},
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# The order within architecture.
ARCHITECTURE = (
    *("builder", "graph", "canonical", "prefix", "keras_json", "keras2_json"),
    *("keras2_operations", "classes"),
)


def modules() -> dict[str, Path]:
    """Finds the modules by name, compiled ones too."""
    found = {}
    for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(name: str, path: Path) -> Iterator[str]:
    """Yields the modules of the package that one of them imports anywhere in its text."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            names = [
                whole if (whole := f"{base}.{alias.name}") in MODULES else base
                for alias in node.names
            ]
        yield from (found for found in names if found in MODULES and found != name)


IMPORTS = {name: set(imported(name, path)) for name, path in MODULES.items()}


def part_of(module: str) -> str:
    """Returns the package or module below ``parsl_tl`` that a module belongs to."""
    return [*module.split("."), "__init__"][1]


def test_the_graph_is_drawn():
    assert "parsl_tl.search.dispatch" in IMPORTS["parsl_tl.search.evaluator"]
    # One inside of a function, and one for types.
    assert "parsl_tl.training" in IMPORTS["parsl_tl.tasks"]
    assert "parsl_tl.population" in IMPORTS["parsl_tl.tasks"]


def test_no_modules_import_each_other():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def test_every_part_has_its_layer():
    unknown = {part_of(name) for name in MODULES} - RANKS.keys()
    assert not unknown, f"give {sorted(unknown)} a place in LAYERS"


def test_no_import_runs_up():
    up = [
        f"{importer} imports {name}"
        for importer, names in IMPORTS.items()
        for name in names
        if part_of(importer) != part_of(name) and RANKS[part_of(importer)] >= RANKS[part_of(name)]
    ]
    assert not up, "\n".join(sorted(up))


def test_the_order_within_architecture():
    order = {f"parsl_tl.architecture.{name}": rank for rank, name in enumerate(ARCHITECTURE)}
    up = [
        f"{importer} imports {name}"
        for importer in order
        for name in IMPORTS[importer] & order.keys()
        if order[importer] >= order[name]
    ]
    assert not up, "\n".join(up)
    assert not {
        name for name in IMPORTS if "parsl_tl.architecture.keras_model" in IMPORTS[name]
    } - {"parsl_tl.architecture.graph"}
