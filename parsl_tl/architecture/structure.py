"""How a model takes its inputs and gives its outputs: one tensor, lists and dicts, at any depth.

A structure holds the numbers of tensors. Tensors are numbered as Keras flattens them: lists in
their order, dicts in the order of their sorted keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parsl_tl.errors import ArchitectureError

# None, an int, a list, or a dict with strings as keys, of structures again.
Structure = Any


def flatten(value: Any, is_leaf: Callable[[Any], bool]) -> tuple[list[Any], Structure]:
    """Takes a structure apart.

    Args:
        value: lists and dicts of leaves.
        is_leaf: tells a leaf, which may be a list itself.

    Returns:
        The leaves, and the structure of their numbers, with the keys of dicts sorted.
    """
    leaves: list[Any] = []

    def visit(part: Any) -> Structure:
        if is_leaf(part):
            leaves.append(part)
            return len(leaves) - 1
        if isinstance(part, Mapping):
            return {key: visit(part[key]) for key in sorted(part)}
        if isinstance(part, Sequence) and not isinstance(part, str):
            return [visit(item) for item in part]
        raise TypeError(f"{part!r} stands where a tensor should")

    return leaves, visit(value)


def filled(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Returns a structure with each number replaced by the leaf that it stands for."""
    if isinstance(structure, int):
        return leaves[structure]
    if isinstance(structure, Mapping):
        return {key: filled(item, leaves) for key, item in structure.items()}
    return [filled(item, leaves) for item in structure]


def completed(structure: Structure, count: int) -> Structure:
    """Returns the structure of a number of tensors; None stands for a list of them, or one alone.

    Raises:
        ArchitectureError: it does not hold each of the numbers once, in order.
    """
    if structure is None:
        return 0 if count == 1 else list(range(count))
    numbers, _ = flatten(structure, lambda part: isinstance(part, int))
    if numbers != list(range(count)):
        raise ArchitectureError(
            f"the structure {structure!r} numbers {numbers} of {count} tensors; number each once, "
            "in order, dicts by their sorted keys"
        )
    return structure


def is_flat(structure: Structure) -> bool:
    """Returns whether a structure is one tensor, or a list of tensors."""
    return isinstance(structure, int) or (
        isinstance(structure, list) and all(isinstance(item, int) for item in structure)
    )


def meaning_of(structure: Structure) -> Structure:
    """Returns what tells a structure from others: a list of one tensor is that tensor."""
    return 0 if structure == [0] else structure


def paths_of(structure: Structure) -> list[Any]:
    """Returns where each tensor stands: its number in a flat structure, else keys and numbers."""
    if is_flat(structure):
        return [0] if isinstance(structure, int) else list(structure)
    paths: list[Any] = []

    def visit(part: Structure, path: list[Any]) -> None:
        if isinstance(part, int):
            paths.append(path)
        else:
            items = part.items() if isinstance(part, Mapping) else enumerate(part)
            for key, item in items:
                visit(item, [*path, key])

    visit(structure, [])
    return paths
