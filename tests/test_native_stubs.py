"""What mypy believes of the compiled modules is what they are."""

import ast
from pathlib import Path

import pytest

import parsl_tl
from parsl_tl.native import load_module
from parsl_tl.store.transports import has_thallium

MODULES = ["_native", "_flight", "_baselines", "_bare_flight"]
if has_thallium():
    MODULES += ["_thallium", "_bare_thallium"]
# Types that pybind11 names as a stub does; of others it says less ("tuple", "dict", "object").
PLAIN = {"int", "float", "str", "bool", "None", "bytes", "list[int]", "list[str]", "dict[str, int]"}


def documented(function):
    """Parses the signature that pybind11 writes into the first line of a docstring."""
    signature = function.__doc__.splitlines()[0]
    return ast.parse(f"def {signature}: ...").body[0]


def arguments(function):
    """Returns the names of a signature, and the values of its defaults."""
    names = [arg.arg for arg in function.args.args if arg.arg != "self"]
    return names, [ast.unparse(value) for value in function.args.defaults]


def check_function(stub, function):
    real = documented(function)
    names, defaults = arguments(stub)
    real_names, real_defaults = arguments(real)
    assert (stub.name, names) == (real.name, real_names)
    pairs = zip(defaults, real_defaults, strict=True)
    assert all(stated in ("...", value) for stated, value in pairs), (stub.name, real_defaults)
    if ast.unparse(real.returns) in PLAIN:
        assert ast.unparse(stub.returns) == ast.unparse(real.returns), stub.name


def members_of(stub, classes):
    """Returns what a class of a stub has, bases included, by name."""
    members = {item.name: item for item in stub.body if isinstance(item, ast.FunctionDef)}
    for base in stub.bases:
        members = {**members_of(classes[base.id], classes), **members}
    return members


def check_class(stub, cls, classes):
    members = members_of(stub, classes)
    real = {
        name
        for base in cls.__mro__[:-1]
        if base.__module__ == cls.__module__
        for name in vars(base)
    }
    real = {name for name in real if not name.startswith("_") or name == "__len__"}
    # One that Python cannot make has no __init__ of its own.
    assert {name for name in members if name != "__init__"} == real, stub.name
    for name, member in members.items():
        found = getattr(cls, name)
        is_property = any(ast.unparse(mark) == "property" for mark in member.decorator_list)
        assert isinstance(found, property) == is_property, (stub.name, name)
        if not is_property:
            check_function(member, found)


@pytest.mark.parametrize("name", MODULES)
def test_a_stub_states_what_its_module_has(name):
    module = load_module(name)
    stub = ast.parse((Path(parsl_tl.__file__).parent / f"{name}.pyi").read_text())
    classes = {item.name: item for item in stub.body if isinstance(item, ast.ClassDef)}
    functions = {item.name: item for item in stub.body if isinstance(item, ast.FunctionDef)}
    values = {item.target.id for item in stub.body if isinstance(item, ast.AnnAssign)}
    public = {name for name in {*classes, *functions, *values} if not name.startswith("_")}
    assert public == {name for name in vars(module) if not name.startswith("_")}
    for function in functions.values():
        check_function(function, getattr(module, function.name))
    for cls in classes.values():
        if not cls.name.startswith("_"):
            check_class(cls, getattr(module, cls.name), classes)
