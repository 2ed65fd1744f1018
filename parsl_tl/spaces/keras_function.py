"""Functions that build Keras models from hyperparameters, as search spaces."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import ImpossibleArchitectureError, ParslTLError, SpaceError
from parsl_tl.imports import make_object
from parsl_tl.spaces.built import reason_of_keras
from parsl_tl.spaces.choice_discovery import ChoiceDiscovery
from parsl_tl.spaces.compiled_training import training_of
from parsl_tl.spaces.head import Head, apply_heads
from parsl_tl.spaces.hp import HyperParameters
from parsl_tl.spaces.shapes import input_shapes
from parsl_tl.spaces.space import Choice, SearchSpace

if TYPE_CHECKING:
    import keras

Function = Callable[..., Any]

_FIRST_PARAMETERS = frozenset({"hp", "hps", "hyperparameters", "hyper_parameters"})
_GIVEN = ("inputs", "head")
# What a function is run with to find its choices, before the problem's shapes are known: a vector,
# an image, a series, and several vectors.
_STAND_INS: tuple[list[tuple[int, ...]], ...] = (
    [(64,)],
    [(64, 64, 3)],
    [(64, 8)],
    [(64,), (64,)],
    [(64,), (64,), (64,)],
    [(64,), (64,), (64,), (64,)],
)
# Finding the choices takes seconds, and a worker asks for its space with every job.
_FOUND: dict[tuple[Function, str], ChoiceDiscovery] = {}


def is_keras_function(found: Any) -> bool:
    """Returns whether something is a function, or a class's ``build``, that asks hp for choices."""
    function = found.build if _has_build(found) else found
    if not inspect.isroutine(function):
        return False
    try:
        names = [name for name in inspect.signature(function).parameters if name != "self"]
    except (TypeError, ValueError):  # some that are written in C have none
        return False
    return bool(names) and names[0] in _FIRST_PARAMETERS


def takes_inputs(found: Any) -> bool:
    """Returns whether such a function builds on the problem's inputs."""
    function = found.build if _has_build(found) else found
    return "inputs" in inspect.signature(function).parameters


def _has_build(found: Any) -> bool:
    if isinstance(found, SearchSpace) or not hasattr(found, "build"):
        return False
    return not (isinstance(found, type) and issubclass(found, SearchSpace))


class KerasFunctionSpace(SearchSpace):
    """The networks that a function builds of the values that it asks ``hp`` for.

    The function is ``build(hp, inputs, head)``, which returns output tensors or a ``keras.Model``;
    or a Keras Tuner hypermodel function ``build_model(hp)``, which makes its own input and returns
    a compiled model.
    """

    builds_keras_models = True

    def __init__(self, found: Any, /, *, input_shape: Any = None, **kwargs: Any) -> None:
        """Makes a space of a function.

        Args:
            found: the function; or a class or an object with a method ``build(hp)``.
            input_shape: what the function is run with to find its choices, where a vector, an
                image and a series of a usual size will not do.
            **kwargs: further arguments of the function, or of the class.

        Raises:
            SpaceError: arguments that the function does not take.
        """
        what = f"search space {getattr(found, '__name__', type(found).__name__)!r}"
        if isinstance(found, type):
            found, kwargs = make_object(found, kwargs, what, SpaceError), {}
        function = found.build if _has_build(found) else found
        self.name = f"{function.__module__}:{function.__qualname__}"
        self._function, self._kwargs = function, kwargs
        self._stand_in = None if input_shape is None else input_shapes(input_shape)
        self._built: tuple[list[str | int | float], dict[str, Any]] | None = None
        names = list(inspect.signature(function).parameters)
        self._given = [name for name in _GIVEN if name in names[1:]]
        self._check_arguments(what)

    def _check_arguments(self, what: str) -> None:
        """Binds all arguments once, so that a wrong name is told by its nearest right one."""
        stand_ins = dict.fromkeys(self._given)

        def bind(**kwargs: Any) -> None:
            signature.bind(None, **stand_ins, **kwargs)

        signature = inspect.signature(self._function)
        own = [
            item for name, item in list(signature.parameters.items())[1:] if name not in self._given
        ]
        bind.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                item.replace(kind=item.KEYWORD_ONLY)
                if item.kind is item.POSITIONAL_OR_KEYWORD
                else item
                for item in own
            ]
        )
        make_object(bind, self._kwargs, what, SpaceError)

    @property
    def _discovery(self) -> ChoiceDiscovery:
        arguments = sorted(self._kwargs.items())
        key = (self._function, repr((self._stand_in, arguments)))
        if key not in _FOUND:
            _FOUND[key] = self._discover()
        return _FOUND[key]

    def _discover(self) -> ChoiceDiscovery:
        shapes = [self._stand_in] if self._stand_in else list(_STAND_INS)
        if "inputs" not in self._given:
            shapes = shapes[:1]  # it is not told any
        failures: list[Exception] = []
        for inputs in shapes:
            try:
                return ChoiceDiscovery(partial(self._run, inputs=inputs, heads=[]), self.name)
            except ImpossibleArchitectureError as error:
                failures.append(error)
            except (ParslTLError, MemoryError):
                raise
            except Exception as error:  # whatever the function may raise
                failures.append(error)
        remedy = ""
        if "inputs" in self._given and not self._stand_in:
            remedy = (
                "; it was run with a vector, an image, a series and several vectors: if it needs "
                "inputs of another shape, give the space the argument input_shape"
            )
        raise SpaceError(
            f"function {self.name!r} fails with the defaults of what it asks hp for: "
            f"{type(failures[0]).__name__}: {failures[0]}{remedy}"
        ) from failures[0]

    def choices(self) -> list[Choice]:
        """Returns what the function asks for, in the order in which it does."""
        return [
            Choice(label, tuple(one.values)) for label, one in self._discovery.definitions.items()
        ]

    def active(self, arch_seq: Sequence[int]) -> list[bool]:
        """Returns, for each choice, whether the function asks for it."""
        values = self._values(self.labels(arch_seq))
        active = self._discovery.active(values)
        return [label in active for label in values]

    def training(self, arch_seq: Sequence[int]) -> dict[str, Any]:
        """Returns the optimizer that the function compiles its model with, and its learning rate.

        Raises:
            SpaceError: the function fails, or an optimizer that cannot be told.
        """
        labels = self.labels(arch_seq)
        if self._built is None or self._built[0] != labels:
            inputs, heads = self._stand_in or _STAND_INS[0], list[Head]()
            if self._last_shapes is not None:
                inputs, heads = input_shapes(self._last_shapes[0]), self._last_shapes[1]
            self._assemble(arch_seq, labels, inputs, heads)
        assert self._built is not None
        return dict(self._built[1])

    def assemble(
        self,
        labels: Sequence[str | int | float],
        inputs: list[tuple[int, ...]],
        heads: list[Head],
    ) -> keras.Model:
        """Runs the function; see ``SearchSpace.assemble``."""
        hp = HyperParameters(self._values(labels), self._discovery.definitions, is_complete=True)
        model = self._run(hp, inputs, heads)
        self._built = (list(labels), training_of(model, self.name))
        return model

    def _values(self, labels: Sequence[str | int | float]) -> Mapping[str, Any]:
        return dict(zip(self._discovery.definitions, labels, strict=True))

    def _run(
        self, hp: HyperParameters, inputs: list[tuple[int, ...]], heads: Sequence[Head]
    ) -> keras.Model:
        """Runs the function; without heads, each of its ends gets one."""
        import keras

        tensors = [keras.Input(shape) for shape in inputs]
        given = {
            "inputs": tensors[0] if len(tensors) == 1 else tensors,
            "head": lambda x: _one_or_all(apply_heads(x, heads or _stand_in_heads(x))),
        }
        try:
            made = self._function(hp, **{name: given[name] for name in self._given}, **self._kwargs)
        except ValueError as error:
            reason = reason_of_keras(error)
            if reason is None:
                raise
            raise ImpossibleArchitectureError(reason) from error
        if isinstance(made, keras.Model):
            if isinstance(made, keras.Sequential) and not made.built and len(inputs) == 1:
                made.build((None, *inputs[0]))
            return made
        if "inputs" in self._given and _is_tensors(made, keras.KerasTensor):
            return keras.Model(given["inputs"], made)
        raise SpaceError(
            f"function {self.name!r} returns a {type(made).__name__}; it must return "
            + ("head(x), or a keras.Model" if self._given else "a keras.Model")
        )


def _stand_in_heads(ends: Any) -> list[Head]:
    count = len(ends) if isinstance(ends, list | tuple) else 1
    return [Head(shape=(1,), name=f"output_{number}") for number in range(count)]


def _one_or_all(outputs: list[Any]) -> Any:
    return outputs[0] if len(outputs) == 1 else outputs


def _is_tensors(made: Any, kind: type) -> bool:
    return isinstance(made, kind) or (
        isinstance(made, list | tuple) and bool(made) and all(isinstance(one, kind) for one in made)
    )
