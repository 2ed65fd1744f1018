"""Objects of a user's own by the name of their module or file."""

import os
import subprocess
import sys

import pytest

from parsl_tl.errors import ConfigError, ProblemError, SpaceError, TransferError
from parsl_tl.imports import import_folders, resolve_import_name
from parsl_tl.problems import get_problem
from parsl_tl.spaces import get_space
from parsl_tl.transfer import get_transfer_method

SOURCE = """
import numpy as np
from parsl_tl.problems import Data, Problem
from parsl_tl.spaces import FeedForwardSpace
from parsl_tl.transfer import NoTransfer

class Mine(Problem):
    name, input_shape, output_shape = "mine", (2,), (1,)
    def __init__(self, rows=4):
        super().__init__()
        self.rows = rows
    def _load(self):
        x, y = np.ones((self.rows, 2), "f4"), np.ones((self.rows, 1), "f4")
        return Data(x, y, x.copy(), y.copy())

class Space(FeedForwardSpace): pass
class Method(NoTransfer): pass
def config(label="a"):
    import parsl
    return parsl.Config(executors=[parsl.ThreadPoolExecutor(label=label)])
"""


def run(code, cwd):
    """Runs code as an installed program does: the current folder is not on Python's path."""
    program = f"import sys; sys.path = [p for p in sys.path if p]\n{code}"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("mine.py", "mine"),
        ("package/mine.py", "package.mine"),  # without __init__.py
        ("mine.py", "mine.py"),
        ("elsewhere/my_file.py", "elsewhere/my_file.py"),
    ],
)
def test_modules_and_files_of_the_current_folder_are_found(tmp_path, where, name):
    path = tmp_path / where
    path.parent.mkdir(exist_ok=True)
    path.write_text(SOURCE)
    code = f"""
from parsl_tl import load_config
from parsl_tl.imports import import_folders
from parsl_tl.problems import get_problem
from parsl_tl.spaces import get_space
from parsl_tl.transfer import get_transfer_method
name = {name!r}
print(get_problem(name + ":Mine", rows=3).load().x_train.shape)
print(get_space(name + ":Space", num_layers=2).size())
print(type(get_transfer_method(name + ":Method")).__name__)
print(load_config(name + ":config", label="b").executors[0].label)
print(import_folders([name + ":Mine", "digits", "parsl_tl.problems:Digits"]))
"""
    folders = [] if name.endswith(".py") else [str(tmp_path)]
    assert run(code, tmp_path).splitlines() == ["(3, 2)", "961", "Method", "b", str(folders)]


def test_a_file_finds_the_modules_beside_it(tmp_path):
    (tmp_path / "helper_beside.py").write_text("rows = 7\n")
    (tmp_path / "main_file.py").write_text(
        SOURCE + "\nimport helper_beside\ndef made(): return Mine(helper_beside.rows)\n"
    )
    (tmp_path / "else").mkdir()
    code = f"""
from parsl_tl.problems import get_problem
print(get_problem({str(tmp_path / "main_file.py:made")!r}).rows)
"""
    assert run(code, tmp_path / "else") == "7"


def test_what_is_installed_is_not_hidden_by_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "colorsys.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProblemError, match=r"module 'colorsys' \(.*lib.*\) has no 'Mine'"):
        get_problem("colorsys:Mine")


def test_a_file_that_has_the_name_of_another_module_is_told(tmp_path):
    (tmp_path / "json.py").write_text(SOURCE)
    with pytest.raises(ProblemError, match="another module is called 'json'"):
        get_problem(f"{tmp_path / 'json.py'}:Mine")


def test_paths_of_files_are_resolved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_import_name("a/b.py:C") == f"{tmp_path}/a/b.py:C"
    assert resolve_import_name("a.b:C") == "a.b:C"
    assert resolve_import_name("digits") == "digits"
    assert import_folders(["digits", "no.such:thing", "json:loads"]) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('no arguments')", "SystemExit: no arguments"),
        ("def (", "SyntaxError"),
        ("import no_such_package_x", "No module named 'no_such_package_x'"),
    ],
)
def test_a_module_that_raises_is_told_with_what_it_raised(tmp_path, source, told):
    path = tmp_path / "raising_module.py"
    path.write_text(source)
    for get, error in (
        (get_problem, ProblemError),
        (get_space, SpaceError),
        (get_transfer_method, TransferError),
    ):
        with pytest.raises(error, match="cannot be imported") as caught:
            get(f"{path}:Mine")
        assert told in str(caught.value)
    assert "raising_module" not in sys.modules


@pytest.mark.parametrize(
    ("get", "error", "name", "kwargs", "told"),
    [
        (get_problem, ProblemError, "digits", {"sead": 1}, "'sead' (did you mean 'seed'?)"),
        (get_problem, ProblemError, "digist", {}, "(did you mean 'digits'?)"),
        (get_space, SpaceError, "dense-skip", {"num_layer": 1}, "(did you mean 'num_layers'?)"),
        (get_space, SpaceError, "dense_skip", {}, "(did you mean 'dense-skip'?)"),
        (get_transfer_method, TransferError, "hdf5", {"foldr": 1}, "(did you mean 'folder'?)"),
        (get_transfer_method, TransferError, "hdf", {}, "(did you mean 'hdf5'?)"),
        (get_space, SpaceError, "math:pi", {}, "must be a SearchSpace class"),
        (get_space, SpaceError, "builtins:dict", {}, "which is no SearchSpace"),
        (get_space, SpaceError, "parsl_tl.spaces:SearchSpace", {}, "abstract"),
        (get_transfer_method, TransferError, "math:pi", {}, "which makes nothing"),
    ],
)
def test_what_cannot_be_made_is_told(get, error, name, kwargs, told):
    with pytest.raises(error) as caught:
        get(name, **kwargs)
    assert told in str(caught.value)


def test_config_arguments_are_checked_by_name(tmp_path):
    from parsl_tl import load_config

    with pytest.raises(ConfigError, match=r"'max_worker' \(did you mean 'max_workers'\?\)"):
        load_config("local", max_worker=2)
    path = tmp_path / "broken_config.py"
    path.write_text("def config():\n    return {}['queue']\n")
    with pytest.raises(ConfigError, match="KeyError: 'queue'"):
        load_config(path)
    path.write_text("def config():\n    return None\n")
    with pytest.raises(ConfigError, match=r"gives a NoneType, not a parsl\.Config"):
        load_config(path)
    path.write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(ConfigError, match="SystemExit"):
        load_config(os.fspath(path))
