"""Free energy of mixing and stability against composition and temperature, with the spread of the members and the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from matjax.report.discovery import Mixing, Trend
from matjax.report.discovery_style import lines_above, ordered_colours, stable_below
from matjax.report.style import INK, panel

MILLI = 1000.0


def gibbs_of_mixing(mixing: Mixing) -> Figure | None:
    """Gibbs energy of mixing against composition at every temperature; dots are the truth."""
    if "gibbs_mixing" not in mixing.arrays:
        return None
    figure, axes = panel((4.6, 3.4))
    _family(axes, mixing, "gibbs_mixing", "low", "high", "truth_gibbs")
    axes.axhline(0, color=INK, lw=0.5, alpha=0.5, zorder=1)
    axes.set_ylabel("Gibbs energy of mixing (meV/atom)")
    axes.set_title(f"{mixing.title} ({mixing.lattice})" if mixing.lattice else mixing.title, pad=24)
    return figure


def stability_of_mixing(mixing: Mixing) -> Figure | None:
    """Stability against composition at every temperature, and the line below which a solution is stable."""
    if "stability" not in mixing.arrays:
        return None
    figure, axes = panel((4.6, 3.4))
    _family(axes, mixing, "stability", "stability_low", "stability_high", "truth_stability")
    axes.set_ylabel("stability (meV/atom)")
    axes.set_title("against the other phases considered", pad=24)
    stable_below(axes)
    return figure


def _family(axes: Axes, mixing: Mixing, field: str, low: str, high: str, truth: str) -> None:
    """One curve with its band per temperature, cold to hot."""
    for i, colour in enumerate(ordered_colours(len(mixing.temperatures))):
        rows = {name: array[i] for name, array in mixing.arrays.items()}
        _banded(axes, mixing.x, rows, (field, low, high, truth), colour, f"{mixing.temperatures[i]:.0f} K")
    axes.set_xlabel(mixing.x_label or "composition")
    axes.margins(x=0)
    axes.grid(axis="y")
    lines_above(axes, 5)


def _banded(axes: Axes, x: np.ndarray, rows: Mapping[str, np.ndarray], names: tuple[str, str, str, str], colour: str, label: str) -> None:
    """A curve, the band of the members and, as dots, the truth, in meV/atom; what is absent is not drawn."""
    field, low, high, truth = names
    if low in rows and high in rows:
        axes.fill_between(x, MILLI * rows[low], MILLI * rows[high], color=colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(x, MILLI * rows[field], color=colour, label=label, zorder=3)
    if truth in rows:
        axes.scatter(x, MILLI * rows[truth], 9, color=colour, linewidths=0, zorder=4)


def stability_trend(trend: Trend) -> Figure | None:
    """Stability of one candidate against temperature with its interval; dots are the truth."""
    if "stability" not in trend.arrays:
        return None
    figure, axes = panel((3.0, 2.5))
    _banded(axes, trend.temperature, trend.arrays, ("stability", "low", "high", "truth"), INK, "")
    axes.set(xlabel="temperature (K)", ylabel="stability (meV/atom)")
    axes.set_title(_wrapped(trend.candidate), fontsize=8.5)
    axes.grid(axis="y")
    stable_below(axes)
    return figure


def _wrapped(name: str, width: int = 34) -> str:
    """A long name in two lines, broken at a space."""
    if len(name) <= width:
        return name
    middle = name.rfind(" ", 0, width)
    return f"{name[:middle]}\n{name[middle + 1 :]}" if middle > 0 else name
