"""How many layers are expected to transfer, in closed form, as in the birthday problem.

A new architecture meets ``n`` stored ones, all drawn uniformly and independently. It shares its
first ``m`` choices with a given one of them with probability p, the product of 1/k_i over the
first m numbers of options, so with at least one of them with probability 1 - (1 - p)^n. Given the
new architecture the stored ones are independent, so nothing is approximated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import InvalidValueError, SpaceError
from parsl_tl.spaces import FeedForwardSpace, SearchSpace, Shapes
from parsl_tl.spaces.dense_choices import IDENTITY


class ClosedForm(Protocol):
    """The distribution of the longest prefix with n stored architectures."""

    def tail(self, num_stored: int) -> NDArray[np.float64]:
        """Returns the probabilities that the longest prefix is at least 0, 1, 2, ... long."""
        ...


def expected_length(form: ClosedForm, num_stored: int) -> float:
    """Returns the expected longest prefix: the sum of P(L >= m) over m from 1."""
    return float(form.tail(num_stored)[1:].sum())


def _at_least_one(probability: NDArray[np.float64], num: int) -> NDArray[np.float64]:
    """Returns 1 - (1 - p)^n, without losing what is small."""
    if num < 1:
        raise InvalidValueError(f"{num} stored architectures: at least 1 is needed")
    with np.errstate(divide="ignore"):  # p = 1 gives log 0, and then 1
        chance: NDArray[np.float64] = -np.expm1(num * np.log1p(-probability))
    return chance


class SequentialForm(NamedTuple):
    """Choices in sequence, each of which counts as one; the length is in choices.

    Attributes:
        options: number of options of each choice.
    """

    options: tuple[int, ...]

    def tail(self, num_stored: int) -> NDArray[np.float64]:
        """See ``ClosedForm``; float64 [choices + 1]."""
        shares = np.cumprod(np.array([1.0, *(1.0 / count for count in self.options)]))
        return _at_least_one(shares, num_stored)


class FeedForwardForm(NamedTuple):
    """Layers in sequence, where one of the options is "no layer"; the length is in layers.

    Each of ``num_choices`` choices is a layer with probability v / (v + 1), one of v equally likely
    ones. So the number J of layers is binomial, and a stored architecture has the first m of a
    given one with probability q_m = P(J >= m) v^-m. Since the new one has m layers itself with
    probability P(J >= m), its longest prefix H with n stored ones has

        P(H >= m) = P(J >= m) (1 - (1 - q_m)^n).

    The output layer is shared, too, with an architecture that has all of the same layers and no
    other:

        P(equal, J = j) = P(J = j) (1 - (1 - P(J = j) v^-j)^n),

    and then H = j. What stands before the first choice (inputs, their concatenation) is always
    shared.

    Attributes:
        num_choices: variable layers.
        num_layers: v, options that are a layer.
        num_before: layers before the first choice.
    """

    num_choices: int
    num_layers: int
    num_before: int = 1

    def tail(self, num_stored: int) -> NDArray[np.float64]:
        """See ``ClosedForm``; float64 [layers before + choices + 2]."""
        count, chance = self.num_choices, self.num_layers / (self.num_layers + 1)
        exactly = np.array(
            [
                math.comb(count, j) * chance**j * (1 - chance) ** (count - j)
                for j in range(count + 1)
            ]
        )
        at_least = np.minimum(np.cumsum(exactly[::-1])[::-1], 1.0)
        same = float(self.num_layers) ** -np.arange(count + 1)
        hidden = at_least * _at_least_one(at_least * same, num_stored)
        equal = exactly * _at_least_one(exactly * same, num_stored)
        # With m hidden layers in common, m + 1 are shared only if the architectures are equal.
        longer = np.append(hidden[1:], 0.0) + equal
        return np.concatenate([np.ones(self.num_before), hidden[:1], longer])


def closed_form(
    space: SearchSpace,
    input_shape: Shapes,
    output_shape: Sequence[int],
    output_activation: str = "linear",
) -> ClosedForm:
    """Returns the closed form of a space, in layers.

    Args:
        space: a feed-forward space is the only one that has a closed form.
        input_shape: see ``SearchSpace.build``.
        output_shape: see ``SearchSpace.build``.
        output_activation: see ``SearchSpace.build``.

    Raises:
        SpaceError: there is none; the message says why.
    """
    if type(space) is not FeedForwardSpace:
        raise SpaceError(
            f"space {space.name!r} has no closed form: its layers are no sequence of independent "
            "choices"
        )
    labels = space.choices()[0].values
    if f"{output_shape[0]} {output_activation}" in labels:
        raise SpaceError(
            f"no closed form: the output layer ({output_shape[0]} {output_activation}) is one of "
            "the variable layers, too"
        )
    before = space.build([0] * space.num_layers, input_shape, output_shape, output_activation)
    return FeedForwardForm(
        space.num_layers, sum(label != IDENTITY for label in labels), len(before) - 1
    )
