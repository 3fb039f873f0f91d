"""Discovery curves: the best true utility so far against oracle calls, and where every seed ended."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from matjax.report.discovery import Discovery, best_so_far
from matjax.report.discovery_style import lines_above, proposer_colours
from matjax.report.style import MUTED, PAPER, panel
from matjax.report.words import number


def discovery_curve(discovery: Discovery) -> Figure | None:
    """Best true utility so far: every seed thin, the median thick, the middle half of the seeds as a band."""
    known = [name for name in discovery.proposers if discovery.of(name)]
    if not known:
        return None
    figure, axes = panel((4.6, 3.4))
    colour = proposer_colours(known)
    for z, name in enumerate(reversed(known)):
        curves = discovery.of(name)
        for curve in curves:
            axes.step(np.arange(1, len(curve.best) + 1), curve.best, color=colour[name], lw=0.6, alpha=0.45, where="post", zorder=2)
        best = best_so_far(curves)
        calls = np.arange(1, best.shape[1] + 1)
        low, middle, high = np.percentile(best, [25, 50, 75], axis=0)
        if len(curves) > 1:
            axes.fill_between(calls, low, high, step="post", color=colour[name], alpha=0.14, linewidth=0, zorder=1)
        label = f"{name}, {len(curves)} seed{'s' * (len(curves) > 1)}"
        axes.step(calls, middle, color=colour[name], lw=2.2, where="post", zorder=3 + z, label=label)
    axes.set(xlabel="oracle calls", ylabel="best true utility so far", ylim=(0, None))
    axes.set_xlim(1, max(axes.get_xlim()[1], 2))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(axis="y")
    lines_above(axes, backwards=True)
    return figure


def final_utility(discovery: Discovery) -> Figure | None:
    """Best true utility of every seed when the common budget was spent, and the median."""
    known = [name for name in discovery.proposers if discovery.of(name)]
    if len(known) < 2:
        return None
    figure, axes = panel((4.6, 3.4))
    colour, budget = proposer_colours(known), discovery.budget
    for i, name in enumerate(known):
        values = best_so_far(discovery.of(name))[:, budget - 1]
        spread = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else np.zeros(1)
        axes.scatter(np.sort(values), i + spread, 34, facecolor=PAPER, edgecolor=colour[name], linewidth=1.4, zorder=3)
        middle = float(np.median(values))
        axes.plot([middle, middle], [i - 0.3, i + 0.3], color=colour[name], lw=2.2, zorder=2)
        axes.annotate(
            number(middle), (middle, i - 0.3), (0, 3), textcoords="offset points", ha="center", va="bottom", color=MUTED, fontsize=8
        )
    axes.set_yticks(range(len(known)), known)
    axes.set_ylim(len(known) - 0.5, -0.75)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel(f"best true utility after {budget} oracle calls")
    axes.margins(x=0.08)
    return figure
