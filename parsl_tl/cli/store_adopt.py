"""``parsl-tl store adopt``: which servers make up a store from now on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.errors import InvalidValueError
from parsl_tl.reporting.sizes import counted

if TYPE_CHECKING:
    from parsl_tl.store.connection import Connection

_DESCRIPTION: Final = """\
Servers remember each other: one that comes back with an empty or another folder is refused. Where
that is on purpose (a disk is lost for good, say), this makes the servers that are named, in this
order, the store from now on. What only lost servers had is given up: models that share layers with
models that lived there are retired, and what was kept for models there is freed.

First put a folder back that is only not mounted, or take back the right order of the servers: then
there is nothing to adopt. A lost server is replaced, in its place, by one with an empty folder.
"""
_SHOWN: Final = 8


def add_adopt_action(actions: Any) -> None:
    """Adds ``adopt`` to the actions of ``parsl-tl store``."""
    parser = actions.add_parser(
        "adopt",
        help="take servers that were replaced for the store's, and give up what is lost",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "servers",
        nargs="+",
        metavar="SERVER",
        help="connection strings or address files of all servers, in their order",
    )
    parser.add_argument("--token-file", metavar="FILE", help="the secret that servers share")
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="for an answer (30)"
    )
    parser.add_argument(
        "--yes", action="store_true", help="do it without a question, whatever is given up"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from parsl_tl.store.adoption import adopt
    from parsl_tl.store.connection import find_servers

    if args.timeout <= 0:
        raise InvalidValueError(f"--timeout {args.timeout} must be more than 0")
    servers = find_servers(" ".join(args.servers), token_file=args.token_file)
    plan = adopt(servers, only_look=True, timeout=args.timeout)
    for line in _describe(servers, plan.before, plan.stores):
        print(line)
    gives_up = bool(plan.lost_models or plan.lost_holds)
    if plan.lost_models:
        print(f"retired, since layers of theirs are lost: {_list(plan.lost_models)}")
    if plan.lost_holds:
        print(f"freed, what was kept for models that are lost: {_list(plan.lost_holds)}")
    if not gives_up:
        print("nothing is given up")
    if gives_up and not args.yes and not _is_confirmed():
        print("nothing was changed; --yes does it")
        return 1
    adopt(servers, timeout=args.timeout)
    print("done; clients that have the store open must open it again")
    return 0


def _describe(
    servers: Sequence[Connection], before: Sequence[str | None], stores: Sequence[str]
) -> list[str]:
    lines = []
    for i, (server, was, now) in enumerate(zip(servers, before, stores, strict=True)):
        change = "as before" if was in (None, now) else f"in place of store {was}, which is lost"
        lines.append(f"server {i + 1}: {server.address}, store {now}, {change}")
    return lines


def _list(model_ids: Sequence[int]) -> str:
    from parsl_tl.store import format_model_id

    shown = ", ".join(format_model_id(model_id) for model_id in model_ids[:_SHOWN])
    more = len(model_ids) - _SHOWN
    others = f" and {more} more" if more > 0 else ""
    return f"{counted(len(model_ids), 'model')}: {shown}{others}"


def _is_confirmed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("give this up for good? [y/N] ").strip().lower() in ("y", "yes")
