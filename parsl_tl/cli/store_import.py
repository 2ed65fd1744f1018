"""``parsl-tl store import``: a finished Keras model as a donor."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from parsl_tl.cli.name_values import parse_pairs
from parsl_tl.reporting.sizes import counted, show_bytes

if TYPE_CHECKING:
    from parsl_tl.store import ModelStore

_DESCRIPTION: Final = """\
Put a finished Keras model into a store: a pretrained network (keras.applications, saved as a file),
or the winner of another search. Candidates that begin with the same layers take over its weights.

A search takes over weights of its own data only: name the problem that the model was trained for
with --problem, or start the search with --donors any. Random candidates start from donors with
--random-transfer.
"""


def add_import_action(actions: Any, where: str, open_store: Callable[..., ModelStore]) -> None:
    """Adds ``import`` to the actions of ``parsl-tl store``.

    Args:
        actions: where to add it.
        where: help of the argument that names the store.
        open_store: opens what that argument names.
    """
    parser = actions.add_parser(
        "import",
        help="put a finished Keras model into a store, as a donor",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("where", help=where)
    parser.add_argument("file", help="a .keras or .h5 file with a whole model")
    parser.add_argument("--problem", help="what it was trained for; its data is loaded")
    parser.add_argument(
        "--problem-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the problem; repeatable",
    )
    parser.add_argument("--id", help="model id, up to 16 hex digits (default: drawn)")
    parser.add_argument(
        "--quality", type=float, default=0.0, help="its objective, among equal donors (0)"
    )
    parser.set_defaults(run=lambda args: _run(args, open_store))


def _run(args: argparse.Namespace, open_store: Callable[..., ModelStore]) -> int:
    from parsl_tl.problems import get_problem
    from parsl_tl.store import format_model_id, parse_model_id
    from parsl_tl.store.import_keras import import_keras

    attributes: dict[str, Any] = {}
    fingerprint = 0
    if args.problem is not None:
        arguments = parse_pairs(args.problem_arg)
        attributes = {"problem": args.problem, "problem_args": arguments}
        fingerprint = get_problem(args.problem, **arguments).fingerprint()
    with open_store(args.where, read_only=False) as store:
        found = import_keras(
            store,
            args.file,
            model_id=None if args.id is None else parse_model_id(args.id),
            quality=args.quality,
            fingerprint=fingerprint,
            attributes=attributes,
        )
    print(
        f"Model {format_model_id(found.model_id)}: {counted(found.num_layers, 'layer')}, "
        f"{show_bytes(found.num_bytes)}"
    )
    for name in found.nested:
        print(
            f"Layer {name!r} is a model itself: it matches as a whole, and its layers by "
            "themselves do not. To let them match, save that inner model alone, or build the "
            "network from its input to its output without nesting."
        )
    if not fingerprint:
        print("No --problem was named: searches take it as a donor with --donors any only.")
    return 0
