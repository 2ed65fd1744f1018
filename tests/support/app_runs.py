"""Running the scripts in apps/ as a user does."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

APPS = Path(__file__).parents[2] / "apps"


def run_app(name, *arguments, cwd, **kwargs):
    """Runs an app in a process of its own; gives its exit code, output and errors."""
    command = [sys.executable, str(APPS / name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=500, **kwargs)


def refusal(name, *arguments, monkeypatch, capsys):
    """Runs an app, in this process, that has to refuse its input; gives the line that it says."""
    monkeypatch.setattr(sys, "argv", [str(APPS / name), *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(sys.argv[0], run_name="__main__")
    told = capsys.readouterr().err
    assert ended.value.code == 2, told
    assert told.count("\n") == 1, told
    assert told.startswith(f"{name}: error: ")
    return told


def modules_of_help(name):
    """Gives the modules that are loaded once an app has printed its help."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{str(APPS / name)!r}, '--help']\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as ended:\n    assert not ended.code\n"
        "print('MODULES', *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text, _, modules = done.stdout.partition("MODULES")
    assert "--out" in text
    return set(modules.split())
