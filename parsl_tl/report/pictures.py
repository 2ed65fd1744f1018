"""Pictures of a run's best models: their lineage, and their layers with what was inherited."""

from __future__ import annotations

import html
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from parsl_tl.analysis.layer_label import layer_label
from parsl_tl.analysis.layered_layout import Placement, place
from parsl_tl.architecture import longest_common_prefix
from parsl_tl.errors import ParslTLError
from parsl_tl.problems import get_problem
from parsl_tl.report.lineage import Ancestor, lineage
from parsl_tl.report.svg import drawing, num
from parsl_tl.report.view import View
from parsl_tl.reporting.sizes import counted
from parsl_tl.search.results import best_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parsl_tl.architecture import ArchitectureGraph
    from parsl_tl.report.run import Run

_COLUMN, _ROW, _MARGIN = 84.0, 58.0, 34.0
_BOX, _BOX_HEIGHT, _LEVEL = 150.0, 34.0, 58.0
_MOST_LETTERS = 22


def lineage_view(run: Run) -> View:
    """Draws who gave what to whom up to the five best models."""
    found = lineage(run)
    title = "Lineage of the best"
    if not found.ancestors:
        return View("lineage", title, "Nothing has succeeded yet.", "", pd.DataFrame())
    numbers = {one.model_id: one.job for one in found.ancestors}
    table = pd.DataFrame(
        [
            {
                "receiver": f"#{numbers[gift.receiver]}",
                "giver": f"#{numbers[gift.giver]}",
                "what": "layers" if gift.is_donor else "choices (parent)",
                "layers": gift.layers,
            }
            for gift in found.gifts
        ],
        columns=["receiver", "giver", "what", "layers"],
    )
    places = {
        one.model_id: (_MARGIN + _COLUMN * one.generation, _MARGIN + _ROW * one.row)
        for one in found.ancestors
    }
    layers = {one.model_id: max(one.layers, 1) for one in found.ancestors}
    parts = []
    for gift in found.gifts:
        (x, y), (to_x, to_y) = places[gift.giver], places[gift.receiver]
        bend = (to_x - x) / 2
        gave = f"gave {counted(gift.layers, 'layer')} to"
        told = f"#{numbers[gift.giver]} {gave} #{numbers[gift.receiver]}"
        if not gift.is_donor:
            told = f"#{numbers[gift.receiver]} is a mutation of #{numbers[gift.giver]}"
        width = 1.5 + 5 * gift.layers / layers[gift.receiver]
        style = (
            f'class="line s0" style="stroke-width:{num(width)}"'
            if gift.is_donor
            else ('class="thin s6 dash"')
        )
        parts.append(
            f'<path {style} d="M{num(x)} {num(y)}C{num(x + bend)} {num(y)} {num(to_x - bend)} '
            f'{num(to_y)} {num(to_x)} {num(to_y)}"><title>{told}</title></path>'
        )
    parts += [_ancestor(one, *places[one.model_id]) for one in found.ancestors]
    width = max(x for x, _ in places.values()) + _MARGIN + 20
    height = max(y for _, y in places.values()) + _MARGIN + 12
    more = f" The {found.left_out} oldest ancestors are left out." if found.left_out else ""
    note = (
        "From left to right, each model with what it was given: the thicker a line, the larger the "
        f"share of its layers; dashed lines lead from parents that gave none.{more}"
    )
    label = f"{title}: {counted(len(found.ancestors), 'model')}"
    svg = drawing(label, max(width, 320), height, "".join(parts), own_size=0.9)
    return View("lineage", title, note, svg, table)


def _ancestor(one: Ancestor, x: float, y: float) -> str:
    color = 1 if one.rank else 0
    told = (
        f"#{one.job}, {one.model_id}: objective {one.objective:.4f}, "
        f"{one.transferred} of {one.layers} layers from its donor"
    )
    name = f"#{one.job}" + (f" ({one.rank}.)" if one.rank else "")
    return (
        f'<circle class="f{color} onpaper" cx="{num(x)}" cy="{num(y)}" r="{9 if one.rank else 7}" '
        f'stroke-width="2"><title>{told}</title></circle>'
        f'<text class="ink mid" x="{num(x)}" y="{num(y - 13)}">{name}</text>'
        f'<text class="ink mid soft" x="{num(x)}" y="{num(y + 23)}">{one.objective:.3f}</text>'
    )


def best_models(run: Run, top: int = 5) -> pd.DataFrame:
    """Returns the best models, each architecture once.

    Columns: ``job``, ``model_id``, ``objective``, ``layers``, ``inherited``, ``parameters``,
    ``seconds``, ``architecture``.
    """
    best = best_first(run.frame)
    best = best[~best["arch_seq"].map(tuple).duplicated()].head(top)
    rows = [
        {
            "job": row["job"],
            "model_id": row["model_id"],
            "objective": row["objective"],
            "layers": row.get("layers_total"),
            "inherited": row.get("layers_transferred"),
            "parameters": row.get("parameters_total"),
            "seconds": row.get("seconds_total"),
            "architecture": "" if run.space is None else run.space.describe(row["arch_seq"]),
        }
        for row in best.to_dict("records")
    ]
    return pd.DataFrame(rows)


def architectures(run: Run, top: int = 5) -> list[View]:
    """Draws the best architectures; what each inherited from its donor is marked.

    Nothing is drawn where the space or the problem cannot be loaded here, or igraph is missing; the
    note says so.
    """
    found = []
    for rank, row in enumerate(best_models(run, top).to_dict("records"), 1):
        title = f"{rank}. #{row['job']}: objective {row['objective']:.4f}"
        svg, note = "", ""
        try:
            graph, inherited = _graphs(run, row["model_id"])
            svg = _draw(title, graph, tuple(sorted(inherited)))
            note = f"{len(inherited)} of {len(graph)} layers are also the donor's (filled)."
        except ParslTLError as error:
            note = f"Not drawn: {error}"
        found.append(View(f"architecture_{rank}", title, note, svg, pd.DataFrame([row])))
    return found


def _graphs(run: Run, model_id: str) -> tuple[ArchitectureGraph, set[int]]:
    """Returns the graph of a model, and the layers that came from its donor."""
    graph = _graph(run, run.good[run.good["model_id"] == model_id]["arch_seq"].iloc[0])
    row = run.good[run.good["model_id"] == model_id].iloc[0]
    donor = run.frame[run.frame["model_id"] == row["donor"]]
    if donor.empty or not row.get("layers_transferred"):
        return graph, set()
    shared = set(longest_common_prefix(graph, _graph(run, donor["arch_seq"].iloc[0])))
    return graph, {i for i, name in enumerate(graph.layer_names) if name in shared}


def _graph(run: Run, arch_seq: Sequence[int]) -> ArchitectureGraph:
    if run.space is None:
        raise ParslTLError(f"search space {run.settings.space!r} cannot be loaded here")
    problem = _problem(run.settings.problem, repr(sorted(run.settings.problem_args.items())), run)
    return run.space.build(arch_seq, problem.input_shape, problem.output_heads())


_problems: dict[tuple[str, str], Any] = {}


def _problem(name: str, arguments: str, run: Run) -> Any:
    if (name, arguments) not in _problems:
        _problems[name, arguments] = get_problem(name, **run.settings.problem_args)
    return _problems[name, arguments]


@lru_cache(maxsize=64)
def _draw(title: str, graph: ArchitectureGraph, inherited: tuple[int, ...]) -> str:
    placement = place(graph)
    marked = set(inherited)
    parts = [_edge(placement, route, marked) for route in placement.routes.values()]
    for layer in range(len(graph)):
        x, y = _point(placement, layer)
        label = layer_label(graph.layers[layer])
        text = label if len(label) <= _MOST_LETTERS else label[: _MOST_LETTERS - 1] + "…"
        css = "inherited" if layer in marked else "own"
        parts.append(
            f'<g class="{css}"><rect x="{num(x - _BOX * 0.46)}" y="{num(y - _BOX_HEIGHT / 2)}" '
            f'width="{num(_BOX * 0.92)}" height="{num(_BOX_HEIGHT)}" rx="6"/>'
            f'<text class="ink mid" x="{num(x)}" y="{num(y + 4.5)}">{html.escape(text)}</text></g>'
        )
    width = max(placement.width * _BOX + 8, _BOX * 1.2)
    height = float(placement.level.max()) * _LEVEL + _BOX_HEIGHT + 8
    return drawing(title, width, height, "".join(parts), "plot network", own_size=0.85)


def _point(placement: Placement, point: int) -> tuple[float, float]:
    x, level = float(placement.x[point]), float(placement.level[point])
    return 4 + x * _BOX, 4 + _BOX_HEIGHT / 2 + level * _LEVEL


def _edge(placement: Placement, route: Sequence[int], marked: set[int]) -> str:
    color = "s0" if route[0] in marked and route[-1] in marked else "s6"
    half = _BOX_HEIGHT / 2
    x, y = _point(placement, route[0])
    text = f"M{num(x)} {num(y + half)}"
    for point in route[1:]:
        to_x, to_y = _point(placement, point)
        middle = (y + to_y) / 2
        text += f"C{num(x)} {num(middle)} {num(to_x)} {num(middle)} {num(to_x)} {num(to_y - half)}"
        x, y = to_x, to_y
        if point != route[-1]:
            text += f"V{num(y + half)}"
    return f'<path class="thin {color}" d="{text}"/>'
