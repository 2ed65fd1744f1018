"""`parsl-tl configs`, and the options of a configuration on command lines."""

import argparse
from pathlib import Path

import pytest
import stand_in_scheduler

from parsl_tl.cli import main
from parsl_tl.cli.config_options import add_config_options, config_of
from parsl_tl.configuration import load_config
from parsl_tl.sites.checks import file_system


@pytest.fixture(autouse=True)
def _no_backend_is_left_behind(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    # Without one, Parsl asks a service on the web for it, among others.
    monkeypatch.setenv("PARSL_TL_CONFIG_ADDRESS", "127.0.0.1")


def read(*arguments):
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    return config_of(parser.parse_args(arguments))


def test_options_are_given_in_three_ways(tmp_path, monkeypatch):
    assert read() == "local"
    file = tmp_path / "mine.toml"
    file.write_text('account = "from-file"\nmax-blocks = 3\nqueue = "debug"\n')
    monkeypatch.setenv("PARSL_TL_CONFIG_ACCOUNT", "from-environment")
    monkeypatch.setenv("PARSL_TL_CONFIG_WALLTIME", "00:20:00")
    monkeypatch.setenv("PARSL_TL_CONFIG_OF_ANOTHER_MACHINE", "1")
    text = read(
        "--config", "polaris", "-o", f"@{file}", "-oqueue=prod&more", "-o", "worker_init=a=b"
    )
    provider = load_config(text).executors[0].provider
    assert provider.max_blocks == 3
    assert provider.walltime == "00:20:00"
    assert "#PBS -A from-file\n#PBS -q prod&more\n" in provider.scheduler_options
    assert provider.worker_init.endswith("\na=b")


@pytest.mark.parametrize(
    ("content", "message"),
    [("account", "Expected '='"), ("[polaris]\naccount = 1", "one value"), (None, "No such file")],
)
def test_a_file_of_options_that_is_none(tmp_path, capsys, content, message):
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_text(content)
    assert main(["configs", "show", "polaris", "-o", f"@{file}"]) == 2
    told = capsys.readouterr().err
    assert str(file) in told
    assert message in told


def test_show(capsys):
    given = ["-o", "account=my-project", "-o", "nodes_per_block=4"]
    assert main(["configs", "show", "polaris", *given]) == 0
    told = capsys.readouterr().out
    assert "account = 'my-project'" in told
    assert "queue = 'debug'" in told
    assert "#PBS -l select=4:ncpus=64:ngpus=4" in told
    assert main(["configs", "show", "local", "-o", "max_workers=1"]) == 0
    assert "--max_workers_per_node=1" in capsys.readouterr().out
    assert main(["configs", "show", "polaris"]) == 2
    assert "account" in capsys.readouterr().err
    assert main(["configs", "show", "polariss", *given]) == 2
    assert "did you mean 'polaris'" in capsys.readouterr().err


def test_script(capsys):
    given = ["-o", "account=x", "-o", "nodes_per_block=2", "-o", "workers_per_gpu=2"]
    command = ["parsl-tl", "search", "--out", "runs/a"]
    assert main(["configs", "script", "aurora", *given, "--", *command]) == 0
    script = capsys.readouterr().out
    assert "#PBS -l select=2:" in script
    assert script.index("module load frameworks") < script.index("parsl-tl search")
    assert script.endswith(
        "parsl-tl search --out runs/a --config aurora -o inside_job=true -o workers_per_gpu=2\n"
    )
    stored = ["--store-data", "/local/me", "--"]
    assert main(["configs", "script", "aurora", *given, *stored, *command]) == 0
    script = capsys.readouterr().out
    assert "--data /local/me" in script
    assert "-o workers_per_gpu=2 --store runs/a.store.address\n" in script
    assert main(["configs", "script", "aurora", *given, *stored, "true"]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["configs", "script", "local", "--", "true"]) == 2
    assert "no machine with a scheduler" in capsys.readouterr().err


def test_check(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PARSL_TL_CONFIG_ADDRESS")
    assert main(["configs", "check", "polaris", "--store", "embedded:nowhere"]) == 1
    problems = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PROBLEM")]
    assert any("charges a project" in line for line in problems)
    assert any("the scheduler's qsub is not found" in line for line in problems)
    assert any("no network interface hsn0 or bond0" in line for line in problems)
    assert any("the store embedded:nowhere" in line for line in problems)
    commands = stand_in_scheduler.install(tmp_path / "bin", stand_in_scheduler.PBS)
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    main(["configs", "check", "pbs", "-o", "cores_per_node=2", "-o", "interface=lo"])
    told = capsys.readouterr().out
    assert f"ok: the scheduler's qsub is {commands}/qsub" in told
    assert "ok: workers connect to 127.0.0.1" in told
    assert main(["configs", "check", "local"]) == 0


def test_the_file_system_of_a_folder(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "none / ext4 rw 0 0\nfs:/x /lustre/a\\040b lustre rw 0 0\nt /lustre tmpfs - 0 0\n"
    )
    assert file_system(Path("/lustre/a b/runs/1"), mounts) == "lustre"
    assert file_system(Path("/lustre/c"), mounts) == "tmpfs"
    assert file_system(Path("/elsewhere"), mounts) == "ext4"
