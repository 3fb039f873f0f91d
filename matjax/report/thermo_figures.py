"""Figures of `matjax thermo`: the convex hull of two or three elements, and free energies of mixing with their common tangents."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.spatial import ConvexHull

from matjax.report.style import INK, INSIDE, MAP, MUTED, OUTSIDE, RULE, STYLE, panel

HIGHEST = 100.0  # meV/atom above the hull where the colours of a ternary end


def binary_hull(elements: Sequence[str], x: np.ndarray, energies: np.ndarray, above: np.ndarray, names: Sequence[str]) -> Figure:
    """Formation energy against composition: the hull, what is on it by name, and what is above.

    Args:
      elements: The two symbols.
      x: Fraction of the second [n].
      energies: Formation energies [n], eV/atom.
      above: Energies above the hull [n], eV/atom; 0 on it.
      names: What to call each entry.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = panel((4.6, 3.2))
        stable = np.flatnonzero(above == 0)
        stable = stable[np.argsort(x[stable])]
        axes.axhline(0, color=RULE, lw=0.8, zorder=0)
        axes.plot(x[stable], energies[stable], color=INSIDE, zorder=2)
        axes.scatter(x[stable], energies[stable], 26, color=INSIDE, zorder=3)
        axes.scatter(x[above > 0], energies[above > 0], 16, facecolors="none", edgecolors=OUTSIDE, linewidths=0.9, zorder=1)
        for i in map(int, stable):
            axes.annotate(names[i], (x[i], energies[i]), (0, -5), textcoords="offset points", ha="center", va="top", fontsize=8)
        axes.set(
            xlabel=f"fraction of {elements[1]} in {elements[0]}-{elements[1]}", ylabel="formation energy (eV/atom)", xlim=(-0.03, 1.03)
        )
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.1 * (high - low), high)
        return figure


def ternary_hull(elements: Sequence[str], x: np.ndarray, energies: np.ndarray, above: np.ndarray, names: Sequence[str]) -> Figure:
    """The hull of three elements seen from below: tie lines, stable phases by name, others coloured by energy above the hull.

    Args:
      elements: The three symbols: left, right and top corner.
      x: Atomic fractions [n, 3].
      energies: Formation energies [n], eV/atom.
      above: Energies above the hull [n], eV/atom; 0 on it.
      names: What to call each entry.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = panel((4.6, 3.9))
        place = x @ np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
        stable = np.flatnonzero(above == 0)
        for a, b in tie_lines(x[stable], energies[stable]):
            (x_a, y_a), (x_b, y_b) = place[stable[[a, b]]]
            axes.plot([x_a, x_b], [y_a, y_b], color=MUTED, lw=0.8, zorder=1)
        colour = ScalarMappable(Normalize(0, HIGHEST), MAP)
        unstable = above > 0
        axes.scatter(place[unstable, 0], place[unstable, 1], 14, color=colour.to_rgba(1e3 * above[unstable]), linewidths=0, zorder=2)
        axes.scatter(place[stable, 0], place[stable, 1], 30, color=INK, zorder=3)
        for i in map(int, stable):
            below = place[i, 1] < 0.05
            offset, align = ((0, -6), "top") if below else ((0, 5), "bottom")
            axes.annotate(names[i], (place[i, 0], place[i, 1]), offset, textcoords="offset points", ha="center", va=align, fontsize=8)
        if unstable.any():
            bar = figure.colorbar(colour, ax=axes, shrink=0.6, aspect=22, pad=0.02, extend="max")
            bar.outline.set_visible(False)  # type: ignore[operator]
            bar.set_label("above the hull (meV/atom)")
        axes.set(xlim=(-0.08, 1.08), ylim=(-0.1, 0.98), aspect="equal", title="-".join(elements))
        axes.axis("off")
        return figure


def tie_lines(x: np.ndarray, energies: np.ndarray) -> list[tuple[int, int]]:
    """Edges of the lower hull of stable ternary phases, as pairs of rows, each once.

    Args:
      x: Atomic fractions [n, 3], the corners among them.
      energies: eV/atom [n].
    """
    span = max(float(np.ptp(energies)), 1e-6)
    points = np.column_stack([x[:, :2], energies / span])
    apex = np.array([[1 / 3, 1 / 3, points[:, 2].max() + 10.0]])  # makes a solid of it, also where all energies lie in a plane
    hull = ConvexHull(np.vstack([points, apex]))
    lower = hull.simplices[hull.equations[:, 2] < -1e-9]  # facets that look down
    return sorted({(int(min(a, b)), int(max(a, b))) for f in lower for a, b in ((f[0], f[1]), (f[1], f[2]), (f[0], f[2]))})


def mixing_curves(
    title: str,
    elements: Sequence[str],
    x: np.ndarray,
    temperatures: Sequence[float],
    gibbs: np.ndarray,
    tangents: Sequence[Sequence[tuple[float, float, float, float]]],
    measured: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:
    """Free energy of mixing against composition, a curve per temperature, with what lies below it by common tangents.

    Args:
      title: Of the figure.
      elements: The two symbols.
      x: Fraction of the second [n].
      temperatures: K [k].
      gibbs: [k, n], eV/atom.
      tangents: Per temperature, (x, G, x, G) of the two ends of each common tangent, eV/atom.
      measured: (x, enthalpy of mixing in eV/atom) of the cells behind the curves, or None.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = panel((4.8, 3.4))
        colours = matplotlib.colormaps["plasma"](np.linspace(0.1, 0.8, max(len(temperatures), 2)))
        axes.axhline(0, color=RULE, lw=0.8, zorder=0)
        for i, temperature in enumerate(temperatures):
            axes.plot(x, 1e3 * gibbs[i], color=colours[i], label=f"{temperature:g} K")
            for left, g_left, right, g_right in tangents[i]:
                axes.plot([left, right], [1e3 * g_left, 1e3 * g_right], color=colours[i], lw=1.0, ls="--", marker="o", ms=3.5)
        if measured is not None:
            axes.scatter(measured[0], 1e3 * measured[1], 12, facecolors="none", edgecolors=MUTED, label="enthalpy of the cells")
        axes.set(xlabel=f"fraction of {elements[1]} in {elements[0]}-{elements[1]}", ylabel="mixing (meV/atom)", xlim=(0, 1))
        axes.set_title(title)
        _legend(axes)
        return figure


def _legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.4, handletextpad=0.5)
