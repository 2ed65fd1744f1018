"""Populations: many architectures generated, evolved and written at once."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsl_tl.population.assembler import Assembler as Assembler
    from parsl_tl.population.assembler_choice import assembler_for as assembler_for
    from parsl_tl.population.description import PopulationDescription as PopulationDescription
    from parsl_tl.population.flat_graphs import FlatGraphs as FlatGraphs
    from parsl_tl.population.folder import Population as Population
    from parsl_tl.population.folder import PopulationFolder as PopulationFolder
    from parsl_tl.population.folder import read_population as read_population
    from parsl_tl.population.generate import PartReport as PartReport
    from parsl_tl.population.generate import PopulationTask as PopulationTask
    from parsl_tl.population.generate import part_bounds as part_bounds
    from parsl_tl.population.generate import plan as plan
    from parsl_tl.population.generate import write_part as write_part

_HOMES = {
    "Assembler": "assembler",
    "FlatGraphs": "flat_graphs",
    "PartReport": "generate",
    "Population": "folder",
    "PopulationDescription": "description",
    "PopulationFolder": "folder",
    "PopulationTask": "generate",
    "assembler_for": "assembler_choice",
    "part_bounds": "generate",
    "plan": "generate",
    "read_population": "folder",
    "write_part": "generate",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Loads a public name on first use: Arrow takes a good part of a second to import."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'parsl_tl.population' has no attribute {name!r}")
    return getattr(importlib.import_module(f"parsl_tl.population.{_HOMES[name]}"), name)
