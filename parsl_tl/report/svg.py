"""Drawings as SVG text: axes, lines, bars and dots that follow the page's colours.

Colours are classes (``s0`` strokes, ``f0`` fills with the first one), so that a page draws light or
dark; ``standalone`` adds the rules that a file of its own needs.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LIGHT: Final = (
    *("#0b6e99", "#c4530d", "#2e7d32", "#7b3fb5", "#97700b", "#b3265c", "#54606c", "#4a90b8"),
    "#7d5240",
)
DARK: Final = (
    *("#5db8e0", "#f29a5f", "#7ccf80", "#c79af2", "#dcb64c", "#f07fa8", "#a7b3bf", "#9ccbe6"),
    "#d3a78f",
)
WIDTH: Final = 640
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 44


def color_rules(colors: Sequence[str], ink: str, grid: str, paper: str) -> str:
    """Returns style rules for drawings: series, text, grid."""
    series = "".join(
        f".s{i}{{stroke:{color}}}.f{i}{{fill:{color}}}" for i, color in enumerate(colors)
    )
    return (
        f"{series}.ink{{fill:{ink}}}.rule{{stroke:{grid}}}.axis{{stroke:{ink}}}"
        f".onpaper{{stroke:{paper}}}.own rect{{fill:{paper};stroke:{ink}}}"
        f".inherited rect{{fill:{colors[0]};stroke:{colors[0]}}}.inherited text{{fill:{paper}}}"
    )


BASE_RULES: Final = (
    "svg.plot{display:block;width:100%;height:auto;font:13px system-ui,'DejaVu Sans',sans-serif}"
    "svg.plot .line{fill:none;stroke-width:2;stroke-linejoin:round}"
    "svg.plot .thin{fill:none;stroke-width:1}"
    "svg.plot .dash{stroke-dasharray:5 4}.rule{stroke-width:1}.axis{stroke-width:1}"
    "svg.plot .dots{fill:none;stroke-linecap:round;stroke-width:5;opacity:.5}"
    "svg.plot .band{opacity:.18;stroke:none}svg.plot .end{text-anchor:end}"
    "svg.plot .mid{text-anchor:middle}svg.plot .soft{opacity:.72}"
    "svg.plot .small{font-size:12px}svg.plot .strong{opacity:1;stroke-width:6}"
    "svg.plot .own rect{stroke-width:1}"
)


def standalone(svg: str) -> str:
    """Returns a drawing as a file of its own, on white."""
    rules = BASE_RULES.replace("svg.plot ", "") + color_rules(LIGHT, "#1b1f24", "#dde2e7", "#fff")
    head, _, rest = svg.partition(">")
    width, height = _size_of(head)
    return (
        f'{head} xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="system-ui, DejaVu Sans, sans-serif" font-size="13">'
        f"<style>{rules}</style>"
        f'<rect width="{width}" height="{height}" fill="#fff"/>{rest}\n'
    )


def _size_of(head: str) -> tuple[str, str]:
    parts = head.partition('viewBox="')[2].partition('"')[0].split()
    return parts[2], parts[3]


def num(value: float) -> str:
    """Returns a coordinate, short."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def shown(value: float) -> str:
    """Returns a number as an axis shows it."""
    if value == 0:
        return "0"
    size = abs(value)
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= unit:
            scale = 1e3 if letter == "k" else unit
            return f"{value / scale:.3g}{letter}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """Returns a time span as people say it: ``45 s``, ``3 min 20 s``, ``1 d 3 h``."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 10:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and not count):
            break
    return " ".join(parts) or "0 s"


def ticks(
    low: float, high: float, count: int = 5, *, time: bool = False, whole: bool = False
) -> list[float]:
    """Returns round values inside a range, about so many.

    Args:
        low: end of the range.
        high: the other end, larger.
        count: how many, about.
        time: steps that are round in seconds, minutes, hours and days.
        whole: whole numbers only.
    """
    raw = (high - low) / max(count, 1)
    step = 10 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next((step * m for m in (1, 2, 5, 10) if step * m >= raw * 0.999), step * 10)
    if time and raw >= 1:
        steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
        step = next((one for one in steps if one >= raw), max(1, round(raw / 86400)) * 86400)
    if whole:
        step = max(step, 1.0)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


class Plot:
    """A drawing with two axes."""

    def __init__(
        self,
        label: str,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        x_label: str = "",
        y_label: str = "",
        time: bool = False,
        height: float = 300,
        left: float = _LEFT,
        y_ticks: bool = True,
        percent: bool = False,
        whole: bool = False,
    ) -> None:
        """Makes an empty drawing.

        Args:
            label: what is drawn, for who cannot see it.
            x: range of the horizontal axis.
            y: range of the vertical axis.
            x_label: what is along the axis.
            y_label: what is up the axis.
            time: the horizontal axis is in seconds.
            height: in units of which the width is 640.
            left: room for what stands left of the axis.
            y_ticks: whether the vertical axis has numbers.
            percent: the vertical axis shows shares as per cent.
            whole: what is along the horizontal axis is counted.
        """
        self.label = label
        self.height = height
        self._left, self._plot_height = left, height - _TOP - _BOTTOM
        self._plot_width = WIDTH - left - _RIGHT
        self._x, self._y = _wide(x), _wide(y)
        self._parts: list[str] = []
        self.legend: list[tuple[str, str]] = []
        self._draw_across(x_label, time, whole)
        self._draw_up(y_label, y_ticks, percent)

    def at_x(self, values: Any) -> NDArray[np.float64]:
        """Returns horizontal places of values."""
        low, high = self._x
        places: NDArray[np.float64] = self._left + self._plot_width * (
            (np.asarray(values, np.float64) - low) / (high - low)
        )
        return places

    def at_y(self, values: Any) -> NDArray[np.float64]:
        """Returns vertical places of values."""
        low, high = self._y
        places: NDArray[np.float64] = _TOP + self._plot_height * (
            1 - (np.asarray(values, np.float64) - low) / (high - low)
        )
        return places

    def line(self, xs: Any, ys: Any, color: int, *, step: bool = False, css: str = "line") -> None:
        """Draws a line through points; as steps, each value holds until the next."""
        points = _finite(self.at_x(xs), self.at_y(ys))
        if len(points):
            self._parts.append(f'<path class="{css} s{color}" d="{_path(points, step)}"/>')

    def band(self, xs: Any, low: Any, high: Any, color: int, *, step: bool = False) -> None:
        """Fills what is between two lines, inside the axes."""
        upper = _finite(self.at_x(xs), self.at_y(np.clip(high, *self._y)))
        lower = _finite(self.at_x(xs), self.at_y(np.clip(low, *self._y)))[::-1]
        if len(upper):
            back = _path(lower, step, backwards=True).replace("M", "L", 1)
            self._parts.append(f'<path class="band f{color}" d="{_path(upper, step)}{back}Z"/>')

    def area(self, xs: Any, low: Any, high: Any, color: int) -> None:
        """Fills what is between two lines, for stacks."""
        upper = _finite(self.at_x(xs), self.at_y(high))
        lower = _finite(self.at_x(xs), self.at_y(low))[::-1]
        if len(upper):
            back = _path(lower, False).replace("M", "L", 1)
            self._parts.append(f'<path class="f{color}" d="{_path(upper, False)}{back}Z"/>')

    def dots(self, xs: Any, ys: Any, color: int, *, css: str = "dots") -> None:
        """Draws dots inside the axes; of those that fall together, one."""
        points = _finite(self.at_x(xs), self.at_y(ys))
        points = points[points[:, 1] <= self.height - _BOTTOM]
        if len(points):
            cells = np.unique(np.round(points * 0.5) * 2, axis=0)
            text = "".join(f"M{num(x)} {num(y)}h0" for x, y in cells.tolist())
            self._parts.append(f'<path class="{css} s{color}" d="{text}"/>')

    def bar(
        self, x: tuple[float, float], y: tuple[float, float], color: int, tip: str = ""
    ) -> None:
        """Draws a bar from one corner to the other."""
        (left, right), (low, high) = self.at_x(x).tolist(), self.at_y(y).tolist()
        title = f"<title>{html.escape(tip)}</title>" if tip else ""
        self._parts.append(
            f'<rect class="f{color}" x="{num(left)}" y="{num(high)}" '
            f'width="{num(max(right - left, 0.6))}" height="{num(max(low - high, 0.0))}">'
            f"{title}</rect>"
        )

    def text(self, x: float, y: float, text: str, css: str = "", *, raw: bool = False) -> None:
        """Writes at a value, or at a place of the drawing."""
        place = (x, y) if raw else (float(self.at_x(x)), float(self.at_y(y)))
        self._parts.append(_text(*place, text, css))

    def add(self, text: str) -> None:
        """Adds SVG elements in places of the drawing."""
        self._parts.append(text)

    def inset(self, content: str, css: str, data: str = "") -> None:
        """Adds elements in a view box of their own, the size of the plot, that can be moved.

        Args:
            content: SVG elements, in places of the drawing.
            css: the class of the view box.
            data: further attributes of it.
        """
        box = " ".join(map(num, (self._left, _TOP, self._plot_width, self._plot_height)))
        x, y, width, height = box.split()
        self._parts.append(
            f'<svg class="{css}" x="{x}" y="{y}" width="{width}" height="{height}" '
            f'viewBox="{box}" preserveAspectRatio="none" {data}>{content}</svg>'
        )

    def name(self, entries: Iterable[tuple[str, str]]) -> None:
        """Adds names of series to the legend.

        Args:
            entries: class of the fill, and name.
        """
        self.legend.extend(entries)

    def svg(self) -> str:
        """Returns the drawing."""
        return drawing(self.label, WIDTH, self.height, "".join(self._parts))

    def _draw_across(self, label: str, time: bool, whole: bool) -> None:
        bottom, right = _TOP + self._plot_height, WIDTH - _RIGHT
        self._parts.append(f'<path class="axis" d="M{num(self._left)} {num(bottom)}H{right}"/>')
        self._parts.append('<g class="across">')
        for number, value in enumerate(ticks(*self._x, 6, time=time, whole=whole)):
            x = float(self.at_x(value))
            self._parts.append(f'<path class="axis" d="M{num(x)} {num(bottom)}v4"/>')
            text = duration(value) if time and value else shown(value)
            side = "end" if x > right - 12 else "mid"
            css = f"{side} odd" if number % 2 else side
            self._parts.append(_text(min(x, right + _RIGHT), bottom + 18, text, css))
        self._parts.append("</g>")
        middle = self._left + self._plot_width / 2
        self._parts.append(_text(middle, bottom + 39, label, "mid soft"))

    def _draw_up(self, label: str, numbers: bool, percent: bool) -> None:
        for value in ticks(*self._y, 4) if numbers else []:
            y = float(self.at_y(value))
            path = f"M{num(self._left)} {num(y)}H{WIDTH - _RIGHT}"
            self._parts.append(f'<path class="rule" d="{path}"/>')
            text = f"{value:.0%}" if percent else shown(value)
            self._parts.append(_text(self._left - 6, y + 4.5, text, "end"))
        place = f'transform="translate(13 {num(_TOP + self._plot_height / 2)}) rotate(-90)"'
        self._parts.append(_text(0, 0, label, "mid soft up", place))


def with_legend(svg: str, legend: Sequence[tuple[str, str]]) -> str:
    """Returns a drawing with its legend below, as a file has it.

    Args:
        svg: of ``Plot.svg``.
        legend: of the plot.
    """
    if not legend:
        return svg
    head, _, rest = svg.partition(">")
    width, height = map(float, _size_of(head))
    parts: list[str] = []
    x, y = 20.0, height + 6
    for css, name in legend:
        room = 28 + 7.6 * len(name)
        if x + room > width and x > 20:
            x, y = 20.0, y + 20
        parts.append(
            f'<rect class="{css}" x="{num(x)}" y="{num(y)}" width="12" height="12" rx="2"/>'
            + _text(x + 17, y + 11, name, "")
        )
        x += room
    head = head.replace(f"{num(width)} {num(height)}", f"{num(width)} {num(y + 24)}", 1)
    return f"{head}>{rest.removesuffix('</svg>')}{''.join(parts)}</svg>"


def drawing(
    label: str,
    width: float,
    height: float,
    content: str,
    css: str = "plot",
    own_size: float | None = None,
) -> str:
    """Returns an SVG element that says what it shows.

    Args:
        label: what it shows.
        width: of its view box.
        height: of its view box.
        content: elements.
        css: its classes.
        own_size: pixels of a unit, for one that does not follow the size of its place.
    """
    sized = f'style="width:{num(width * own_size)}px" ' if own_size else ""
    return (
        f'<svg class="{css}" role="img" {sized}aria-label="{html.escape(label)}" '
        f'viewBox="0 0 {num(width)} {num(height)}">{content}</svg>'
    )


def _text(x: float, y: float, text: str, css: str, more: str = "") -> str:
    return (
        f'<text class="ink {css}" x="{num(x)}" y="{num(y)}" {more}>{html.escape(text)}</text>'
        if text
        else ""
    )


def _wide(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = float(ends[0]), float(ends[1])
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    return (low, high) if high > low else (low, low + max(1e-9, abs(low) * 1e-3, 1e-3))


def _finite(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float64]:
    points = np.column_stack([xs, ys])
    result: NDArray[np.float64] = points[np.isfinite(points).all(axis=1)]
    return result


def _path(points: NDArray[np.float64], step: bool, *, backwards: bool = False) -> str:
    """Returns the path through points; repeated ones are left out."""
    parts: list[str] = []
    last = (math.nan, math.nan)
    for x, y in np.round(points, 1).tolist():
        if not parts:
            parts.append(f"M{num(x)} {num(y)}")
        elif (x, y) == last:
            continue
        elif step:
            parts.append(f"V{num(y)}H{num(x)}" if backwards else f"H{num(x)}V{num(y)}")
        else:
            parts.append(f"L{num(x)} {num(y)}")
        last = (x, y)
    return "".join(parts)
