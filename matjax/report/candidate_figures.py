"""Predicted against measured: every oracle call as it was predicted before it was made."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from matjax.report.discovery import Discovery
from matjax.report.discovery_style import ordered_colours
from matjax.report.style import MUTED, OUTSIDE, PAPER, note, panel
from matjax.report.words import number


def measured_against_predicted(discovery: Discovery, field: str, label: str, factor: float) -> Figure | None:
    """Prediction against measurement with one standard deviation, coloured by round; rings are flagged as unfamiliar.

    Args:
      discovery: The campaign.
      field: "stability" or "utility".
      label: With its unit, of both axes.
      factor: From the stored unit to the printed one.
    """
    names = (f"predicted_{field}_mean", field)
    rows = [row for row in discovery.measured if all(row.get(name) is not None for name in names)]
    if not rows:
        return None
    predicted, measured = (factor * np.array([row[name] for row in rows], float) for name in names)
    std = factor * np.array([row.get(f"predicted_{field}_std") or 0.0 for row in rows], float)
    turn = np.array([int(row.get("round") or 0) for row in rows])
    flagged = np.array([bool(row.get("flagged")) for row in rows])
    low, high = (float(f([f(measured), f(predicted)])) for f in (np.min, np.max))
    margin = 0.07 * (high - low or 1.0)
    limits = (low - margin, high + margin)

    figure, axes = panel((4.4, 3.7))
    rounds = list(range(turn.min(), turn.max() + 1))
    shades = np.array(ordered_colours(len(rounds)))
    axes.plot(limits, limits, color=MUTED, lw=0.8, zorder=1)
    axes.errorbar(measured, predicted, std, fmt="none", ecolor=MUTED, elinewidth=0.6, alpha=0.5, zorder=2)
    axes.scatter(measured, predicted, 26, color=shades[turn - turn.min()], edgecolor=PAPER, linewidth=0.5, zorder=3)
    axes.scatter(measured[flagged], predicted[flagged], 62, facecolor="none", edgecolor=OUTSIDE, linewidth=1.1, zorder=4)
    axes.set(xlim=limits, ylim=limits, xlabel=f"measured {label}", ylabel=f"predicted {label}")
    axes.set_aspect("equal")
    note(axes, 0.04, 0.97, f"mean error {number(float(np.abs(predicted - measured).mean()))}  (n = {len(rows)})", va="top")
    bar = figure.colorbar(
        ScalarMappable(BoundaryNorm(np.array([*rounds, rounds[-1] + 1]) - 0.5, len(rounds)), ListedColormap(list(shades))),
        ax=axes, shrink=0.7, aspect=20, pad=0.03, ticks=rounds if len(rounds) <= 10 else rounds[:: len(rounds) // 5],
    )  # fmt: skip
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0)
    bar.minorticks_off()
    bar.set_label("round")
    return figure
