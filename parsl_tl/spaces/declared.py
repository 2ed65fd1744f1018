"""Search spaces that are declared: a list of nodes, each with the operations it can be.

Graphs are assembled without Keras, in about a millisecond each, so that there may be many of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.errors import SpaceError
from parsl_tl.spaces.head import Head, add_heads
from parsl_tl.spaces.merging import add_projected, merge
from parsl_tl.spaces.operations import Identity, Operation, labels_of
from parsl_tl.spaces.space import Choice, SearchSpace
from parsl_tl.suggestions import did_you_mean

if TYPE_CHECKING:
    from parsl_tl.architecture import ArchitectureGraph

_INPUT = "input_"
_SKIP = ("not connected", "connected")


@dataclass(frozen=True)
class Node:
    """One of the operations of a space.

    Attributes:
        name: of the node and of its choice.
        alternatives: what it can be. A single one is no choice.
        inputs: names of earlier nodes, or ``input_0`` and so on for what goes into the network;
            the node before if there are none, and all that goes in for the first.
        merge: how several inputs become one: ``concatenate``, or ``add``, which puts zeros behind
            shorter vectors.
    """

    name: str
    alternatives: Sequence[Operation] = (Identity(),)
    inputs: tuple[str, ...] = ()
    merge: str = "concatenate"


@dataclass(frozen=True)
class Skip:
    """Skip connections into the node before, each of which may be there or not.

    Those that are connected are projected to its width by a linear layer, added, and go through
    relu.

    Attributes:
        name: of the node; ``name_source`` is the choice for each source.
        sources: names of earlier nodes, or of inputs.
    """

    name: str
    sources: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the nodes that go in beside the one before."""
        return self.sources


class Nodes(SearchSpace):
    """A network of nodes, in the order in which they are listed."""

    def __init__(
        self,
        nodes: Sequence[Node | Skip],
        *,
        name: str = "nodes",
        outputs: Sequence[str] = (),
    ) -> None:
        """Declares a space.

        Args:
            nodes: each takes in earlier ones.
            name: of the space.
            outputs: names of the nodes that heads are put on: one for all heads, or one for each;
                the last node if there are none.

        Raises:
            SpaceError: a name that stands twice or for nothing, or a node without an operation.
        """
        self.name = name
        self.nodes = list(nodes)
        self._outputs = list(outputs)
        self._check()
        self._inputs = {node.name: self._inputs_of(i) for i, node in enumerate(self.nodes)}
        self._operations = {
            node.name: dict(zip(labels_of(node.alternatives), node.alternatives, strict=True))
            for node in self.nodes
            if isinstance(node, Node)
        }
        # For each choice, the node that it is made in.
        self._places = [i for i, node in enumerate(self.nodes) for _ in _choices_of(node)]

    def _check(self) -> None:
        known: list[str] = []
        for node in self.nodes:
            what = f"node {node.name!r} of space {self.name!r}"
            if node.name in known or node.name.startswith(_INPUT):
                raise SpaceError(f"{what} needs a name that no other node or input has")
            for source in node.inputs:
                if source not in known and not _is_input(source):
                    near = did_you_mean(source, known)
                    raise SpaceError(
                        f"{what} takes in {source!r}, which is no node before it{near}, and no "
                        "input, such as input_0"
                    )
            if isinstance(node, Skip):
                if not node.sources or not known:
                    raise SpaceError(f"{what} connects nothing; give sources, and a node before it")
            elif not node.alternatives or len(set(labels_of(node.alternatives))) < len(
                node.alternatives
            ):
                raise SpaceError(
                    f"{what} has the alternatives {list(labels_of(node.alternatives))}; give one "
                    "or more that differ"
                )
            elif node.merge not in ("concatenate", "add"):
                raise SpaceError(f"{what} has merge={node.merge!r}; choose concatenate or add")
            known.append(node.name)
        for output in self._outputs:
            if output not in known:
                raise SpaceError(
                    f"output {output!r} of space {self.name!r} is no node"
                    f"{did_you_mean(output, known)}"
                )
        if not known:
            raise SpaceError(f"space {self.name!r} has no nodes")

    def _inputs_of(self, index: int) -> tuple[str, ...]:
        """Returns what goes into a node; nothing stands for all that goes into the network."""
        node = self.nodes[index]
        before = (self.nodes[index - 1].name,) if index else ()
        if isinstance(node, Skip):
            return (*before, *node.sources)
        return tuple(node.inputs) or before

    def choices(self) -> list[Choice]:
        """Returns one choice for each node with several alternatives, and for each skip."""
        return [choice for node in self.nodes for choice in _choices_of(node)]

    def invalidated(self, choice_index: int) -> int:
        """Returns the number of later choices in nodes that stand on the choice's node.

        A skip connection leaves the others into its node as they are.
        """
        place = self._places[choice_index]
        changed = {self.nodes[place].name}
        count = 0
        for later in range(place + 1, len(self.nodes)):
            if changed & set(self._inputs[self.nodes[later].name]):
                changed.add(self.nodes[later].name)
                count += self._places.count(later)
        return count

    def describe(self, arch_seq: Sequence[int]) -> str:
        """Returns what the nodes are, without those that are left out."""
        named = zip(self.choices(), self.labels(arch_seq), strict=True)
        told = (
            choice.name if label == _SKIP[1] else f"{choice.name} {label}"
            for choice, label in named
            if label not in (Identity().label, _SKIP[0])
        )
        return ", ".join(told) or "no layer"

    def assemble(
        self,
        labels: Sequence[str | int | float],
        inputs: list[tuple[int, ...]],
        heads: list[Head],
    ) -> ArchitectureGraph:
        """See ``SearchSpace.assemble``."""
        builder = GraphBuilder()
        tensors = {f"{_INPUT}{i}": builder.input(shape) for i, shape in enumerate(inputs)}
        start = list(tensors.values())
        remaining = iter(labels)
        for node in self.nodes:
            names = self._inputs[node.name]
            taken = [self._tensor(tensors, name) for name in names] or start
            if isinstance(node, Skip):
                chosen = [one for one in taken[1:] if next(remaining) == _SKIP[1]]
                tensors[node.name] = add_projected(builder, taken[0], chosen)
                continue
            operations = self._operations[node.name]
            label = next(remaining) if len(operations) > 1 else next(iter(operations))
            merged = merge(builder, taken, node.merge)
            tensors[node.name] = operations[str(label)].apply(builder, merged)
        ends = [tensors[name] for name in self._outputs or [self.nodes[-1].name]]
        return builder.build(self.add_outputs(builder, ends, heads))

    def add_outputs(
        self, builder: GraphBuilder, tensors: Sequence[Tensor], heads: Sequence[Head]
    ) -> list[Tensor]:
        """Adds the heads to the outputs of the nodes."""
        return add_heads(builder, tensors, heads)

    def _tensor(self, tensors: dict[str, Tensor], name: str) -> Tensor:
        if name not in tensors:
            count = sum(map(_is_input, tensors))
            raise SpaceError(
                f"space {self.name!r} takes in {name!r}, but the problem has {count} "
                f"input{'s' * (count != 1)}, counted from 0; choose a problem with more"
            )
        return tensors[name]


def _is_input(name: str) -> bool:
    return name.startswith(_INPUT) and name.removeprefix(_INPUT).isdecimal()


def _choices_of(node: Node | Skip) -> list[Choice]:
    if isinstance(node, Skip):
        return [Choice(f"{node.name}_{source}", _SKIP) for source in node.sources]
    labels = labels_of(node.alternatives)
    return [Choice(node.name, labels)] if len(labels) > 1 else []
