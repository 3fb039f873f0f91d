"""The forest plot: every method against the reference, with its interval over domains and the margin of equivalence."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from matjax.report.run import Run
from matjax.report.style import MUTED, PAPER, RULE, colours, panel
from matjax.report.verdict import MARGIN
from matjax.report.words import family_name, method_name


def forest(run: Run) -> Figure | None:
    """Ratio of errors to the reference by family and method, on a logarithmic scale; filled where the verdict is not `undecided`."""
    table = run.comparisons
    if not table:
        return None
    families = list(dict.fromkeys(c.family for c in table))
    places, y = {}, 0.0
    for family in families:
        y += 1.5
        for c in (c for c in table if c.family == family):
            places[c] = y
            y += 1
    figure, axes = panel((6.4, 0.7 + 0.19 * (y + 0.5)))
    colour = colours(run.methods)
    for family in families:
        rows = [place for c, place in places.items() if c.family == family]
        span = [min(rows) - 0.5, max(rows) + 0.5]
        axes.fill_betweenx(span, 1 / (1 + MARGIN), 1 + MARGIN, color=RULE, lw=0, zorder=0)
        axes.plot([1, 1], span, color=MUTED, lw=0.8, zorder=1)
    for c, place in places.items():
        shade = colour.get(c.method, MUTED)
        if c.low is not None and c.high is not None:
            axes.plot([c.low, c.high], [place, place], color=shade, lw=1.3, solid_capstyle="butt", zorder=2)
        axes.scatter(c.ratio, place, 26, facecolor=PAPER if c.verdict == "undecided" else shade, edgecolor=shade, linewidth=1.2, zorder=3)
        axes.text(1.02, place, c.verdict, transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=MUTED)
    for family in families:
        top = min(place for c, place in places.items() if c.family == family)
        n = max(c.n_domain for c in table if c.family == family)
        heading = f"{family_name(family)}, {n} domain{'s' if n > 1 else ''}"
        axes.text(0, top - 0.95, heading, transform=axes.get_yaxis_transform(), weight="bold", va="center")
    axes.set_yticks(list(places.values()), [method_name(c.method) for c in places])
    axes.set_ylim(y - 0.3, -0.1)
    axes.set_xscale("log")
    ends = [value for c in table for value in (c.low, c.high, c.ratio) if value is not None]
    low, high = min(0.93, *ends) / 1.02, max(1.07, *ends) * 1.02
    axes.set_xlim(low, high)
    axes.set_xticks(_ticks(low, high))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda x, _: ""))
    axes.tick_params(axis="x", which="minor", length=0)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"outside error over that of {method_name(run.reference)}: left is better; grey: no practical difference")
    return figure


def _ticks(low: float, high: float) -> list[float]:
    """Five or so round ratios in the range."""
    for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0):
        ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
        if len(ticks) <= 8:
            return [round(float(t), 4) for t in ticks if t > 0]
    return [1.0]
