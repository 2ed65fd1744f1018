"""``parsl-tl store snapshot``, ``restore`` and ``promote``: copies of whole stores."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.reporting.sizes import counted, show_bytes

if TYPE_CHECKING:
    from parsl_tl.store.copies import Copied


def add_copy_actions(actions: Any, where: str, uri_of: Callable[[str], str]) -> None:
    """Adds the actions to those of ``parsl-tl store``.

    Args:
        actions: the subparsers.
        where: how a store is named, for the help.
        uri_of: from that name to a URI.
    """

    def add(name: str, run: Callable[[argparse.Namespace], int], what: str) -> Any:
        parser = actions.add_parser(name, help=what, description=what)
        parser.set_defaults(run=run)
        return parser

    def snapshot(args: argparse.Namespace) -> int:
        from parsl_tl.store.copies import snapshot

        _tell("copied", snapshot(uri_of(args.where), Path(args.folder)))
        return 0

    parser = add("snapshot", snapshot, "copy a store, as of one moment, while it is in use")
    parser.add_argument("where", help=where)
    parser.add_argument("folder", help="where the copy goes: missing, or empty")
    parser = add("restore", _restore, "make a store from a snapshot; it takes that store's place")
    parser.add_argument("snapshot", help="the folder of the snapshot")
    parser.add_argument("folder", help="the folder of the store: missing, or empty")
    parser = add(
        "promote",
        _promote,
        "make the copy of a followed store a store of its own, when that one is lost for good",
    )
    parser.add_argument("where", help="the copy, or the folder of a server that follows one store")
    parser.add_argument(
        "--yes", action="store_true", help="even if weights of models did not come over in time"
    )


def _tell(done: str, copied: Copied) -> None:
    print(
        f"{done} and verified: {counted(copied.models, 'model')}, "
        f"{counted(copied.tensors, 'tensor')}, {show_bytes(copied.num_bytes)}"
    )
    for folder in copied.folders:
        print(f"  {folder}")


def _restore(args: argparse.Namespace) -> int:
    from parsl_tl.store.copies import restore

    _tell("restored", restore(Path(args.snapshot), Path(args.folder)))
    return 0


def _promote(args: argparse.Namespace) -> int:
    from parsl_tl.store.copies import promote

    plan = promote(Path(args.where), only_look=True)
    print(f"store {plan.store}, {counted(plan.models, 'model')}, in {plan.folder}")
    if plan.lost_models:
        shown = ", ".join(f"{model_id:016x}" for model_id in plan.lost_models[:8])
        print(
            "retired, since weights of theirs did not come over: "
            f"{counted(len(plan.lost_models), 'model')}: {shown}"
            + (" ..." if len(plan.lost_models) > 8 else "")
        )
        if not args.yes:
            print("nothing was changed; --yes does it", file=sys.stderr)
            return 1
    promote(Path(args.where))
    print(f"promoted; serve it by `parsl-tl store serve URI --data {plan.folder}`")
    return 0
