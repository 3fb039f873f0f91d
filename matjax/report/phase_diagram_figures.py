"""Figures of `matjax thermo diagram`: temperature over composition of a binary, and a ternary at one temperature."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from matjax.report.style import INK, INSIDE, MUTED, PAPER, RULE, STYLE, panel
from matjax.thermo.calphad import TieLines

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
NARROW = 0.02  # widest atomic fraction of a field that is not named
FAR = 0.15  # atomic fraction between two temperatures over which a boundary is not drawn


def binary_diagram(elements: Sequence[str], phases: Sequence[str], lines: TieLines, temperatures: tuple[float, float]) -> Figure:
    """Temperature over composition: two-phase fields hatched by their tie lines, boundaries dark, single-phase fields named.

    Args:
      elements: The two symbols.
      phases: Names, by index.
      lines: Pairs of coexisting phases.
      temperatures: Lowest and highest, K.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = panel((4.8, 3.8))
        x = lines.x[:, :, 1]
        level = np.repeat(lines.temperature[:, None], 2, 1)
        axes.add_collection(LineCollection(np.stack([x, level], -1).tolist(), colors=RULE, linewidths=0.6, zorder=1))
        for ends, heights in _boundaries(lines):
            axes.plot(ends, heights, color=INK, lw=1.1, marker=".", ms=1.5, zorder=2)
        for phase, (at, height) in _fields(lines).items():
            axes.annotate(phases[phase], (at, height), ha="center", va="center", fontsize=7.5, color=INSIDE, zorder=3)
        name = f"fraction of {elements[1]} in {elements[0]}-{elements[1]}"
        axes.set(xlabel=name, ylabel="temperature (K)", xlim=(0, 1), ylim=temperatures)
        return figure


def ternary_diagram(elements: Sequence[str], phases: Sequence[str], lines: TieLines, triangles: TieLines, temperature: float) -> Figure:
    """An isothermal section: tie lines of two phases, filled triangles of three, phases named where they lie.

    Args:
      elements: The three symbols: left, right and top corner.
      phases: Names, by index.
      lines: Pairs of coexisting phases.
      triangles: Triples.
      temperature: K.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = panel((4.6, 4.1))
        axes.fill(*CORNERS.T, facecolor="none", edgecolor=INK, lw=1.0, zorder=4)
        if len(lines.x):
            axes.add_collection(LineCollection((lines.x @ CORNERS).tolist(), colors=MUTED, linewidths=0.4, zorder=1))
        for corners in triangles.x @ CORNERS:
            axes.fill(*corners.T, facecolor=RULE, edgecolor=INK, lw=0.9, zorder=2)
        _name_phases(axes, phases, lines, triangles)
        for symbol, place, offset in zip(elements, CORNERS, ((-8, -8), (8, -8), (0, 6)), strict=True):
            axes.annotate(symbol, place, offset, textcoords="offset points", ha="center", va="center", weight="bold")
        axes.set(xlim=(-0.08, 1.08), ylim=(-0.1, 0.98), aspect="equal", title=f"{'-'.join(elements)} at {temperature:g} K")
        axes.axis("off")
        return figure


def _boundaries(lines: TieLines) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ends of tie lines of one pair of phases over neighbouring temperatures: (fraction, temperature) of each curve."""
    levels, step = np.unique(lines.temperature, return_inverse=True)
    found = []
    for left, right in sorted({tuple(np.sort(pair)) for pair in lines.phase}):
        rows = np.flatnonzero((np.sort(lines.phase, 1) == (left, right)).all(1))
        for side in (np.min, np.max):
            for curve in _chains(step[rows], side(lines.x[rows, :, 1], axis=1), levels):
                found.append(curve)
    return found


def _chains(step: np.ndarray, x: np.ndarray, levels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points at successive levels joined to the nearest of the level before, if it is near."""
    open_: list[list[tuple[int, float]]] = []
    for k in np.lexsort([x, step]):
        near = [c for c in open_ if c[-1][0] == step[k] - 1]
        best = min(near, key=lambda c: abs(c[-1][1] - x[k]), default=None)
        if best is not None and abs(best[-1][1] - x[k]) < FAR:
            best.append((int(step[k]), float(x[k])))
        else:
            open_.append([(int(step[k]), float(x[k]))])
    return [(np.array([x for _, x in chain]), levels[[k for k, _ in chain]]) for chain in open_]


def _fields(lines: TieLines) -> dict[int, tuple[float, float]]:
    """Where to write the name of each phase that has a field of its own: in the middle of its widest stretch."""
    widest: dict[int, tuple[float, float, float]] = {}
    for level in np.unique(lines.temperature):
        rows = np.flatnonzero(lines.temperature == level)
        ends = [sorted(zip(lines.x[row, :, 1], lines.phase[row], strict=True)) for row in rows]
        ends.sort()
        stretches = [(0.0, ends[0][0][0], ends[0][0][1]), (ends[-1][1][0], 1.0, ends[-1][1][1])]
        stretches += [(a[1][0], b[0][0], a[1][1]) for a, b in zip(ends, ends[1:], strict=False) if a[1][1] == b[0][1]]
        for low, high, phase in stretches:
            if high - low > max(NARROW, widest.get(int(phase), (0.0,))[0]):
                widest[int(phase)] = (high - low, (low + high) / 2, float(level))
    return {phase: (at, level) for phase, (_, at, level) in widest.items()}


def _name_phases(axes: Axes, phases: Sequence[str], lines: TieLines, triangles: TieLines) -> None:
    index = np.concatenate([lines.phase.ravel(), triangles.phase.ravel()])
    x = np.concatenate([lines.x.reshape(-1, 3), triangles.x.reshape(-1, 3)])
    for phase in np.unique(index):
        at = x[index == phase]
        place = at[np.argmin(np.linalg.norm(at - at.mean(0), axis=1))] @ CORNERS
        style = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
        axes.annotate(phases[int(phase)], place, ha="center", va="center", fontsize=7, color=INSIDE, zorder=5, bbox=style)
