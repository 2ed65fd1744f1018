"""``parsl-tl store``: look into a model store, check it, and take models out."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl_tl.cli.store_adopt import add_adopt_action
from parsl_tl.cli.store_copies import add_copy_actions
from parsl_tl.cli.store_import import add_import_action
from parsl_tl.cli.store_serve import add_serve_action
from parsl_tl.cli.store_servers import add_server_actions
from parsl_tl.errors import InvalidValueError, ModelNotFoundError
from parsl_tl.reporting.sizes import counted, show_bytes

if TYPE_CHECKING:
    from parsl_tl.store import ModelStore

_WHERE = (
    "a store's URI (embedded:/folder, or the connection strings of its servers in quotes), its "
    "folder, its servers' address file, MODEL_SERVERS, or a campaign's folder"
)
_EXAMPLES = """\
examples:
  parsl-tl store ls runs/demo --sort quality --limit 5
  parsl-tl store export runs/demo 0fe78e68441d9d9d best.keras
"""


def add_store_command(subparsers: Any) -> None:
    """Adds the command and its actions to the program's parser."""
    parser = subparsers.add_parser(
        "store",
        help="look into a model store, or serve one",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, run: Callable[[argparse.Namespace], int], what: str) -> Any:
        action = actions.add_parser(name, help=what, description=what)
        action.add_argument("where", help=_WHERE)
        action.set_defaults(run=run)
        return action

    def add_reading(name: str, run: Callable[[argparse.Namespace], int], what: str) -> Any:
        action = add(name, run, what)
        action.add_argument(
            "--damaged",
            action="store_true",
            help="look into a store whose log is damaged, as far as it can be read",
        )
        return action

    info = add_reading("info", _info, "how many models and bytes there are")
    info.add_argument("--json", action="store_true", help="as JSON")
    ls = add_reading("ls", _ls, "list the models")
    ls.add_argument("--sort", choices=sorted(_COLUMNS), default="created", help="largest first")
    ls.add_argument("--limit", type=int, help="rows at most")
    ls.add_argument("--csv", help="write all columns to this file instead")
    for adding, name, run, what in (
        (add_reading, "show", _show, "one model: what it is, and who owns its layers"),
        (add_reading, "lineage", _lineage, "the ancestors and descendants of a model"),
        (add, "retire", _retire, "take a model out, and free what no other model refers to"),
    ):
        adding(name, run, what).add_argument("id", help="model id, or the start of one")
    add("verify", _verify, "compute every checksum, count every reference")
    add("compact", _compact, "give the space of retired models back to the file system")
    export = add_reading("export", _export, "write a model as a Keras file that predicts the same")
    export.add_argument("id", help="model id, or the start of one")
    export.add_argument("file", help="the file to write, ending in .keras")
    export.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    add_import_action(actions, _WHERE, _open)
    add_serve_action(actions)
    add_server_actions(actions)
    add_adopt_action(actions)
    add_copy_actions(actions, _WHERE, _uri)


_COLUMNS = {
    "created": "created",
    "quality": "quality",
    "bytes": "bytes_total",
    "layers": "num_layers",
}


def _open(where: str, *, read_only: bool = True, damaged: bool = False) -> ModelStore:
    from parsl_tl.store import open_store

    return open_store(_uri(where), read_only=read_only, damaged=damaged or None)


def _uri(where: str) -> str:
    from parsl_tl.store.uri import is_remote

    if ":" in where or is_remote(where):
        return where
    folder = Path(where)
    config = folder / "config.json"
    if config.is_file():  # a campaign's folder: its settings tell where the store is
        from parsl_tl.search.settings import CampaignSettings

        return CampaignSettings.read(config).store_uri(folder)
    return f"embedded:{folder}"


def _find(store: ModelStore, text: str) -> int:
    """Returns the id that starts with the given digits."""
    from parsl_tl.store import format_model_id, parse_model_id

    parse_model_id(text)  # refuses what is no id at all
    prefix = text.strip().lower().removeprefix("0x")
    ids = [format_model_id(value) for value in store.models()["model_id"].to_pylist()]
    found = [model_id for model_id in ids if model_id.startswith(prefix)]
    if not found:
        raise ModelNotFoundError(f"no model's id starts with {text!r}; `store ls` lists them")
    if len(found) > 1:
        raise InvalidValueError(f"{text!r} could be {', '.join(found[:3])}; give more digits")
    return int(found[0], 16)


def _info(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    with _open(args.where, damaged=args.damaged) as store:
        stats = store.stats()
    if args.json:
        print(json.dumps(stats))
        return 0
    table = Table("what", "value", title=f"Store {args.where}")
    for name, value in stats.items():
        shown = show_bytes(value) if name.startswith("bytes") else f"{value:,}"
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)
    return 0


def _ls(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from parsl_tl.store import format_model_id
    from parsl_tl.store.fingerprint import format_fingerprint

    with _open(args.where, damaged=args.damaged) as store:
        models = store.models()
    if models.num_rows:
        models = models.sort_by([(_COLUMNS[args.sort], "descending")])
    if args.csv:
        import pyarrow.csv

        try:
            pyarrow.csv.write_csv(models, args.csv)
        except OSError as error:
            raise InvalidValueError(f"{args.csv} cannot be written: {error}") from error
        print(f"{counted(models.num_rows, 'model')} written to {args.csv}")
        return 0
    shown = models.slice(0, args.limit)
    table = Table(title=f"{shown.num_rows} of {models.num_rows} models")
    for column in ("model", "parent"):
        table.add_column(column, no_wrap=True, min_width=16)
    for column in ("quality", "layers", "owned", "total"):
        table.add_column(column, justify="right")
    has_data = any(models["fingerprint"].to_pylist())
    if has_data:
        table.add_column("data", no_wrap=True, min_width=8)
    for row in shown.to_pylist():
        table.add_row(
            format_model_id(row["model_id"]),
            "" if row["parent"] is None else format_model_id(row["parent"]),
            f"{row['quality']:.4g}",
            str(row["num_layers"]),
            show_bytes(row["bytes_owned"]),
            show_bytes(row["bytes_total"]),
            *([format_fingerprint(row["fingerprint"])[:8]] if has_data else []),
        )
    Console().print(table)
    return 0


def _show(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from parsl_tl.store import format_model_id
    from parsl_tl.store.fingerprint import format_fingerprint

    console = Console()
    with _open(args.where, damaged=args.damaged) as store:
        model_id = _find(store, args.id)
        info = store.info(model_id)
        shapes = store.shapes(model_id)
        owners = store.composition(model_id)
        references = {n: store.reference_count(owner, n) for n, owner in owners.items()}
    for name in ("model_id", "parent", "donor"):
        shown = "-" if info[name] is None else format_model_id(info[name])
        console.print(f"{name:12}{shown}", highlight=False)
    console.print(f"{'data':12}{format_fingerprint(info['fingerprint']) or '-'}", highlight=False)
    console.print(f"{'quality':12}{info['quality']:.6g}", highlight=False)
    console.print(
        f"{'bytes':12}{show_bytes(info['bytes_total'])}, "
        f"of which it owns {show_bytes(info['bytes_owned'])}",
        highlight=False,
    )
    console.print(
        f"{'attributes':12}{json.dumps(info['attributes'])}", highlight=False, markup=False
    )
    table = Table()
    table.add_column("layer", no_wrap=True)
    table.add_column("owner", no_wrap=True, min_width=16)
    table.add_column("weights")
    table.add_column("models", justify="right")
    for name, owner in owners.items():
        weights = ", ".join("x".join(map(str, shape)) or "()" for shape, _ in shapes.get(name, []))
        own = "itself" if owner == model_id else format_model_id(owner)
        table.add_row(name, own, weights, str(references[name]))
    console.print(table)
    return 0


def _lineage(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.tree import Tree

    from parsl_tl.store import format_model_id

    with _open(args.where, damaged=args.damaged) as store:
        model_id = _find(store, args.id)
        line = [*reversed(store.lineage(model_id)), model_id]
        below = store.descendants(model_id)
        parents = {
            row["model_id"]: row["parent"]
            for row in store.models().select(["model_id", "parent"]).to_pylist()
        }
        living = set(parents)

    def label(number: int) -> str:
        text = format_model_id(number)
        text = f"[bold]{text}[/bold]" if number == model_id else text
        return text if number in living else f"{text} [dim](retired)[/dim]"

    tree = branch = Tree(label(line[0]))
    for number in line[1:]:
        branch = branch.add(label(number))
    nodes = {model_id: branch}
    for number in below:  # parents come first; below a retired one the line is not known
        nodes[number] = nodes.get(parents.get(number) or model_id, branch).add(label(number))
    Console().print(tree)
    return 0


def _retire(args: argparse.Namespace) -> int:
    with _open(args.where, read_only=False) as store:
        freed = store.retire(_find(store, args.id))
    print(f"retired; {show_bytes(freed)} freed")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from parsl_tl.store.uri import is_remote

    with warnings.catch_warnings():
        # Damage is what the report tells of, with the rest that is wrong.
        warnings.filterwarnings("ignore", message=".*is damaged, and", category=RuntimeWarning)
        store = _open(args.where, damaged=not is_remote(_uri(args.where)))
    with store:
        report = store.verify()
    print(
        f"{report.models} models, {report.tensors} tensors, {show_bytes(report.num_bytes)} checked"
    )
    for problem in report.problems:
        print(f"damaged: {problem}")
    return 0 if report.ok else 1


def _compact(args: argparse.Namespace) -> int:
    from rich.console import Console

    console = Console(stderr=True)
    with _open(args.where, read_only=False) as store, console.status("compacting"):
        report = store.compact()
    print(
        f"{counted(report.segments_rewritten, 'file')} of weights written anew; "
        f"{show_bytes(report.bytes_freed)} freed"
    )
    return 0


def _export(args: argparse.Namespace) -> int:
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets at length
    from parsl_tl.store import export_keras

    with _open(args.where, damaged=args.damaged) as store:
        path = export_keras(store, _find(store, args.id), args.file, overwrite=args.overwrite)
    print(f"written: {path}")
    return 0
