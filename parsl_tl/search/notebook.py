"""A campaign in a notebook: what it shows of itself, and its results as figures."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from parsl_tl.reporting.plots import make_figure
from parsl_tl.search.results import best_first
from parsl_tl.training.report import STEPS

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from parsl_tl.search.settings import CampaignSettings

_SHOWN = ("job", "model_id", "objective", "layers_transferred", "layers_total", "architecture")
_SIZE = (7.0, 4.0)


class CampaignPlots:
    """Figures of a campaign's results so far; each is a ``matplotlib.figure.Figure``.

    All raise ``AnalysisError`` where matplotlib is not installed. ``parsl-tl report`` draws more.
    """

    def __init__(self, results: Callable[[], pd.DataFrame]) -> None:
        """Draws nothing yet.

        Args:
            results: gives the results as they are now.
        """
        self._results = results

    def objective(self) -> Any:
        """Draws every evaluation, and the best so far."""
        frame = self._results()

        def draw(axes: Any) -> None:
            values = frame["objective"].to_numpy(np.float64)
            places = np.arange(1, len(frame) + 1)
            axes.plot(places, values, ".", alpha=0.5, label="evaluations")
            if len(values):
                axes.step(places, np.fmax.accumulate(values), where="post", label="best so far")
            axes.set_ylabel("objective")
            axes.legend()

        return _figure(draw, "evaluations")

    def steps(self) -> Any:
        """Draws the seconds of each step, as evaluations ended."""
        frame = self._results()

        def draw(axes: Any) -> None:
            good = frame[frame["objective"].notna()]
            found = [step for step in STEPS if f"seconds_{step}" in good]
            seconds = [good[f"seconds_{step}"].fillna(0.0).to_numpy(float) for step in found]
            if seconds:
                axes.stackplot(good.index + 1, seconds, labels=found)
                axes.legend(ncols=2)
            axes.set_ylabel("seconds")

        return _figure(draw, "evaluations")

    def prefixes(self) -> Any:
        """Draws how many children took over how many layers."""
        frame = self._results()

        def draw(axes: Any) -> None:
            children = frame[frame["parent"].notna() & frame["objective"].notna()]
            if len(children) and "layers_transferred" in children:
                counts = children["layers_transferred"].astype(int).value_counts()
                axes.bar(counts.index, counts)
            axes.set_ylabel("children")

        return _figure(draw, "layers with weights that came from the donor")

    def failures(self) -> Any:
        """Draws how many evaluations failed, by reason."""
        counts = self._results()["failure"].value_counts()

        def draw(axes: Any) -> None:
            axes.barh([str(reason) for reason in counts.index], counts)
            axes.invert_yaxis()

        return _figure(draw, "evaluations")


def _figure(draw: Callable[[Any], None], across: str) -> Any:
    def whole(figure: Any) -> None:
        axes = figure.add_subplot()
        draw(axes)
        axes.set_xlabel(across)
        axes.grid(alpha=0.4)

    return make_figure(_SIZE, whole)


class ShownInNotebooks:
    """What a campaign shows of itself."""

    folder: Path
    settings: CampaignSettings

    @property
    def results(self) -> pd.DataFrame:
        """Finished evaluations so far."""
        raise NotImplementedError

    def summary(self) -> str:
        """Says in one line how far it is."""
        raise NotImplementedError

    @property
    def plot(self) -> CampaignPlots:
        """Figures of the results so far: ``campaign.plot.objective()`` and others."""
        return CampaignPlots(lambda: self.results)

    def __repr__(self) -> str:
        what = f"{self.settings.problem} in {self.settings.space}, {self.folder}"
        return f"<{type(self).__name__}: {what}: {self.summary()}>"

    def _repr_html_(self) -> str:
        """Shows how far it is, and its best models."""
        from parsl_tl.reporting.page import table

        best = best_first(self.results).head(5)
        columns = [name for name in _SHOWN if name in best]
        shown = table(best[columns], "Best models")
        return f"<p><strong>{html.escape(repr(self))}</strong></p>{shown}"
