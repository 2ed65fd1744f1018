"""``parsl-tl configs``: the executor configurations, and what one of them comes to."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.arguments import ArgumentParser
from parsl_tl.cli.config_options import add_option_pairs, config_of
from parsl_tl.errors import ConfigError

if TYPE_CHECKING:
    from parsl_tl.sites.checks import Finding

_EXAMPLES = """\
examples:
  parsl-tl configs
  parsl-tl configs show polaris -o account=my-project -o queue=debug
  parsl-tl configs check polaris -o account=my-project
  parsl-tl configs script polaris -o account=my-project -o nodes_per_block=4 -- \\
      parsl-tl search --problem digits --space dense-skip --out runs/digits > job.sh

An option may also be in the environment, as PARSL_TL_CONFIG_ACCOUNT=my-project, or in a TOML file,
as -o @polaris.toml.
"""


def add_configs_command(subparsers: Any) -> None:
    """Adds the command to the program's parser."""
    configs = subparsers.add_parser(
        "configs",
        help="list executor configurations, show or check one, or write a batch script",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    configs.set_defaults(run=_list)
    actions = configs.add_subparsers(dest="action", metavar="ACTION")
    show = _add(actions, "show", "its options, and the batch script of a block", _show)
    check = _add(actions, "check", "whether this machine has what it needs", _check)
    script = _add(actions, "script", "a batch script that runs a command inside of a job", _script)
    check.add_argument("--store", help="URI of a store of servers that must answer")
    check.add_argument("--transfer", default="store", help="as the search will have it (store)")
    check.add_argument("--out", default=".", help="folder of the campaign (the current one)")
    for parser in (show, script):
        parser.epilog = "Nothing is submitted."
    script.add_argument(
        "--store-data",
        metavar="FOLDER",
        help="serve the search's store from this folder, on a disk of the job's first node, and "
        "keep a copy beside its --out: network file systems cannot hold a store",
    )
    script.add_argument(
        "driver",
        nargs="+",
        metavar="COMMAND",
        help="after --: a command of parsl-tl, which gets the configuration as its --config",
    )


def _add(actions: Any, name: str, what: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=what, description=what)
    parser.add_argument("config", metavar="NAME", help="a name of `parsl-tl configs`, or a file")
    add_option_pairs(parser)
    parser.set_defaults(run=run)
    return parser


def _list(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from parsl_tl.configuration import list_configs

    kinds = ("This machine", "Any ")
    configs = list_configs()
    of_machines = [config for config in configs if not config.summary.startswith(kinds)]
    table = Table("name", "what it is", title="Executor configurations")
    for kind in kinds:
        for config in configs:
            if config.summary.startswith(kind):
                table.add_row(config.name, config.summary)
        table.add_section()
    for config in of_machines:
        table.add_row(config.name, config.summary)
    console = Console()
    console.print(table)
    for folder in dict.fromkeys(config.path.parent for config in configs):
        console.print(f"Their files: {folder}/NAME.py", highlight=False, soft_wrap=True)
    return 0


def _show(args: argparse.Namespace) -> int:
    from parsl_tl.configuration import config_machine, config_options, load_config
    from parsl_tl.sites.script import block_script

    text = config_of(args)
    config = load_config(text)
    print(f"# {args.config}")
    machine = config_machine(text)
    for name, value in config_options(text).items():
        if value is None and name in ("queue", "walltime"):
            value = getattr(machine, name, None)
        print(f"#   {name} = {value!r}")
    for executor in config.executors:
        provider = getattr(executor, "provider", None)
        print(f"# executor {executor.label}: {type(provider).__name__}", end="")
        devices = getattr(executor, "available_accelerators", [])
        print(f", {getattr(executor, 'max_workers_per_node', '?')} workers per node", end="")
        print(f", GPUs {' '.join(devices)}" if devices else "")
        print(block_script(executor))
    return 0


def _check(args: argparse.Namespace) -> int:
    findings = list(_findings(args))
    for finding in findings:
        print(f"{'ok' if finding.remedy is None else 'PROBLEM'}: {finding.text}")
        if finding.remedy is not None:
            print(f"    {finding.remedy}")
    return 0 if all(finding.remedy is None for finding in findings) else 1


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    from parsl_tl.configuration import config_machine, config_options, load_config
    from parsl_tl.sites.checks import (
        Finding,
        check_machine,
        check_pool,
        check_store,
        check_store_folder,
    )
    from parsl_tl.store import open_store

    text = config_of(args)
    machine = config_machine(text)
    try:
        load_config(text)
        yield Finding(f"configuration {args.config} can be made")
    except ConfigError as error:
        yield Finding(f"configuration {args.config}: {error}", "see `parsl-tl configs show`")
    yield check_pool()
    if machine is not None:
        yield from check_machine(machine, config_options(text), args.out)
    if args.store is None and args.transfer == "store":
        yield check_store_folder(Path(args.out))
    if args.store is not None:
        yield check_store(args.store, lambda uri: open_store(uri, read_only=True))


def _script(args: argparse.Namespace) -> int:
    from parsl_tl.cli.config_options import read_options
    from parsl_tl.configuration import config_machine, load_config
    from parsl_tl.sites.script import driver_script, served_store

    options = read_options(args.config_options)
    if options.pop("inside_job", False):
        print("parsl-tl: inside_job is what this script gives to its command", file=sys.stderr)
    args.config_options = [f"{name}={value}" for name, value in options.items()]
    text = config_of(args)
    machine = config_machine(text)
    if machine is None:
        raise ConfigError(f"config {args.config!r} is of no machine with a scheduler")
    (executor,) = load_config(text).executors
    command = [*args.driver, "--config", args.config, "-o", "inside_job=true"]
    for name, value in options.items():
        if name not in _OF_THE_JOB:
            command += ["-o", f"{name}={value}"]
    lines = [shlex.join(command)]
    if args.store_data is not None:
        lines = served_store(args.store_data, f"{_out(args.driver)}.store", command)
    print(driver_script(executor, [*machine.first_lines(), *lines]), end="")
    return 0


def _out(driver: Sequence[str]) -> str:
    parser = ArgumentParser(prog="parsl-tl configs script", add_help=False, allow_abbrev=False)
    parser.add_argument("--out")
    out: str | None = parser.parse_known_args(driver)[0].out
    if out is None:
        raise ConfigError("--store-data: the command after -- must have an --out")
    return out.rstrip("/")


# What the script's own lines ask for; the nodes are counted where it runs.
_OF_THE_JOB = ("account", "nodes_per_block", "max_blocks", "scheduler_options")
