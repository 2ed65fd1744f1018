"""What two models have in common: stable names, the common prefix, and a picture of both.

    parsl-tl analyze prefix one.keras other.json --out prefix.svg
    parsl-tl analyze prefix runs/population:12 runs/population:345
    parsl-tl analyze prefix models_0.json:1 models_0.json:2 --out prefix.png

A model is a Keras JSON file, a .keras file, FILE.json:LINE (counted from 1) of a file with one
model per line, or FOLDER:NUMBER, a member of a generated population. Neither Keras nor weights are
loaded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from parsl_tl import longest_common_prefix
from parsl_tl.analysis.layer_label import layer_label
from parsl_tl.analysis.model_source import NamedModel, load_model
from parsl_tl.analysis.prefix_picture import draw_prefix
from parsl_tl.reporting.console import make_console, print_files
from parsl_tl.reporting.files import prepare_file
from parsl_tl.reporting.sizes import counted


def print_model(console: Console, model: NamedModel, prefix: set[str]) -> None:
    """Lists a model's layers by stable name; those of the common prefix are marked."""
    graph = model.graph
    inputs: list[list[str]] = [[] for _ in graph.layers]
    for source, target in graph.edges.tolist():
        inputs[target].append(str(source))
    table = Table(title=f"{model.title}: {counted(len(graph), 'layer')}", title_justify="left")
    for column in ("#", "prefix", "stable name", "layer", "inputs"):
        table.add_column(column, justify="right" if column == "#" else "left", overflow="fold")
    for number, (name, layer) in enumerate(zip(graph.layer_names, graph.layers, strict=True)):
        shared = name in prefix
        cells = (str(number), "yes" if shared else "", name, layer_label(layer))
        table.add_row(*cells, " ".join(inputs[number]), style="green" if shared else None)
    console.print(table)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument("models", nargs=2, metavar="MODEL", help="see above")
    parser.add_argument(
        "--out", type=Path, default=Path("prefix.svg"), help="the picture: .svg, .png or .pdf"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the tables and draws the picture."""
    prepare_file(args.out, (".svg", ".png", ".pdf"))

    one, other = (load_model(where) for where in args.models)
    names = longest_common_prefix(one.graph, other.graph)
    console = make_console()
    for model in (one, other):
        print_model(console, model, set(names))
    console.print(
        f"Common prefix: {counted(len(names), 'layer')} "
        f"({len(names) / len(one.graph):.0%} of the first model, "
        f"{len(names) / len(other.graph):.0%} of the second)",
        highlight=False,
    )
    for name in names:
        console.print(f"  {name}", highlight=False)
    print_files(console, [draw_prefix((one, other), args.out)])
    return 0
