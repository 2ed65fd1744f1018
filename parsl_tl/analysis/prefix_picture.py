"""The picture of two graphs side by side, with the layers that they have in common marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from parsl_tl.analysis.layer_label import layer_label
from parsl_tl.analysis.layered_layout import Placement, place
from parsl_tl.analysis.model_source import NamedModel
from parsl_tl.reporting.plots import save_figure
from parsl_tl.reporting.sizes import counted

# Inches: a box, and from one level to the next.
_BOX_WIDTH, _BOX_HEIGHT, _LEVEL = 1.5, 0.40, 0.68
_GAP, _MARGIN, _HEADER = 0.8, 0.35, 1.3
_FILL, _EDGE, _LINE = "#b8e0d2", "#00695c", "#00897b"
_OTHER_FILL, _OTHER_EDGE, _OTHER_LINE = "#ffffff", "#8a8a8a", "#9a9a9a"
_MOST_LETTERS = 23


class _Panel(NamedTuple):
    model: NamedModel
    shared: set[int]
    placement: Placement
    left: float


def draw_prefix(models: Sequence[NamedModel], path: Path) -> Path:
    """Draws models side by side; layers that all of them share are marked.

    Layers of the common prefix stand at the same height in every graph.

    Args:
        models: one or more.
        path: its suffix is the format (svg, png, pdf).

    Returns:
        The file.

    Raises:
        AnalysisError: a package is missing, or the file cannot be written.
    """
    common = set.intersection(*(set(model.graph.layer_keys.tolist()) for model in models))
    panels = []
    left = _MARGIN
    for model in models:
        shared = {i for i, key in enumerate(model.graph.layer_keys.tolist()) if key in common}
        placement = place(model.graph)
        panels.append(_Panel(model, shared, placement, left))
        left += max(placement.width * _BOX_WIDTH, 2.6) + _GAP
    deepest = max(int(panel.placement.level.max()) for panel in panels)
    size = (left - _GAP + _MARGIN, _HEADER + _MARGIN + deepest * _LEVEL + _BOX_HEIGHT)
    return save_figure(path, size, lambda figure: _draw(figure, panels, size))


def _draw(figure: Any, panels: Sequence[_Panel], size: tuple[float, float]) -> None:
    # One inch is one unit, so that boxes fit their text whatever the size of the graph.
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, size[0])
    axes.set_ylim(size[1], 0)
    axes.axis("off")
    for number, panel in enumerate(panels):
        if number:
            between = panel.left - _GAP / 2
            axes.plot([between] * 2, [_HEADER - 0.2, size[1]], color="#dddddd", linewidth=1)
        _draw_header(axes, panel)
        _draw_edges(axes, panel)
        for layer in range(len(panel.model.graph)):
            _draw_layer(axes, panel, layer)
    _draw_legend(axes)


def _point(panel: _Panel, point: int) -> tuple[float, float]:
    x = panel.left + float(panel.placement.x[point]) * _BOX_WIDTH
    return x, _HEADER + _BOX_HEIGHT / 2 + float(panel.placement.level[point]) * _LEVEL


def _draw_header(axes: Any, panel: _Panel) -> None:
    graph = panel.model.graph
    text = f"{counted(len(graph), 'layer')}, {len(panel.shared)} in the common prefix"
    axes.text(panel.left, 0.78, panel.model.title, fontsize=10, fontweight="bold", va="center")
    axes.text(panel.left, 1.0, text, fontsize=8.5, color="#444444", va="center")


def _draw_layer(axes: Any, panel: _Panel, layer: int) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = _point(panel, layer)
    marked = layer in panel.shared
    width = _BOX_WIDTH * 0.92
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - _BOX_HEIGHT / 2),
            width,
            _BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor=_FILL if marked else _OTHER_FILL,
            edgecolor=_EDGE if marked else _OTHER_EDGE,
            linewidth=1.6 if marked else 0.9,
            zorder=3,
        )
    )
    label = layer_label(panel.model.graph.layers[layer])
    if len(label) > _MOST_LETTERS:
        label = label[: _MOST_LETTERS - 1] + "…"
    weight = "bold" if marked else "normal"
    axes.text(x, y - 0.075, label, fontsize=7.5, fontweight=weight, zorder=4, **_CENTER)
    identity = f"{layer} · {_short_hash(panel.model.graph.layer_names[layer])}"
    axes.text(
        x, y + 0.095, identity, fontsize=6, family="monospace", color="#333333", zorder=4, **_CENTER
    )


_CENTER = {"ha": "center", "va": "center"}


def _short_hash(name: str) -> str:
    """Returns eight digits of the hash, and which twin: ``99a93ee4`` or ``99a93ee4_1``."""
    parts = name.split("_")
    twin = f"_{parts.pop()}" if len(parts[-1]) < 16 else ""
    return parts[-1][:8] + twin


def _draw_edges(axes: Any, panel: _Panel) -> None:
    """Draws every edge once, as a smooth line through its waypoints; shared ones on top."""
    from matplotlib.patches import PathPatch

    for (source, target), route in panel.placement.routes.items():
        marked = source in panel.shared and target in panel.shared
        if panel.placement.level[source] >= panel.placement.level[target]:
            _draw_backwards(axes, _point(panel, source), _point(panel, target), marked)
            continue
        axes.add_patch(
            PathPatch(
                _path([_point(panel, point) for point in route]),
                facecolor="none",
                edgecolor=_LINE if marked else _OTHER_LINE,
                linewidth=1.8 if marked else 0.9,
                zorder=2 if marked else 1,
            )
        )
        _draw_tip(axes, _point(panel, target), marked)


def _draw_backwards(
    axes: Any, source: tuple[float, float], target: tuple[float, float], marked: bool
) -> None:
    """Draws an edge that leads up again, to a layer that is called once more: a dashed arc."""
    from matplotlib.patches import FancyArrowPatch

    side = _BOX_WIDTH * 0.46
    axes.add_patch(
        FancyArrowPatch(
            (source[0] - side, source[1]),
            (target[0] - side, target[1]),
            connectionstyle="arc3,rad=-0.5",
            arrowstyle="-|>",
            mutation_scale=9,
            linestyle="--",
            color=_LINE if marked else _OTHER_LINE,
            zorder=2,
        )
    )


def _path(points: Sequence[tuple[float, float]]) -> Any:
    """Returns a path of Bezier curves that leaves and enters boxes vertically."""
    from matplotlib.path import Path as Curve

    half = _BOX_HEIGHT / 2
    (x, y), vertices, codes = points[0], [], [Curve.MOVETO]
    vertices.append((x, y + half))
    for number, (next_x, next_y) in enumerate(points[1:], 2):
        above, below = vertices[-1][1], next_y - half
        middle = (above + below) / 2
        vertices += [(x, middle), (next_x, middle), (next_x, below)]
        codes += [Curve.CURVE4] * 3
        if number < len(points):  # beside the boxes of a level the line is straight
            vertices.append((next_x, next_y + half))
            codes.append(Curve.LINETO)
        x = next_x
    return Curve(vertices, codes)


def _draw_tip(axes: Any, target: tuple[float, float], marked: bool) -> None:
    from matplotlib.patches import Polygon

    x, y = target[0], target[1] - _BOX_HEIGHT / 2
    colour = _LINE if marked else _OTHER_LINE
    axes.add_patch(
        Polygon([(x, y), (x - 0.035, y - 0.08), (x + 0.035, y - 0.08)], color=colour, zorder=2.5)
    )


def _draw_legend(axes: Any) -> None:
    from matplotlib.patches import Patch

    axes.legend(
        handles=[
            Patch(facecolor=_FILL, edgecolor=_EDGE, linewidth=1.6, label="common prefix"),
            Patch(facecolor=_OTHER_FILL, edgecolor=_OTHER_EDGE, label="only in this model"),
        ],
        loc="upper left",
        bbox_to_anchor=(_MARGIN, 0.3),
        bbox_transform=axes.transData,
        ncols=2,
        frameon=False,
        fontsize=8.5,
        borderaxespad=0.0,
        borderpad=0.0,
    )
