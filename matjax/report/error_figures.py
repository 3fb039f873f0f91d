"""Figures of error: how it grows from inside to outside, parity, and where in the periodic table it sits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from matjax.data.elements import SYMBOLS, table
from matjax.report.run import Pair, Part, Run
from matjax.report.style import BASELINE, INSIDE, MAP, MUTED, OUTSIDE, PAPER, RULE, VECTOR, colours, note, panel
from matjax.report.words import method_name, number


def by_case(run: Run, extra: int) -> tuple[Figure, Axes, list[float]]:
    """Axes with one group of rows per case, a heading each, and the y of each group's first row (rows count downwards).

    Args:
      run: The run.
      extra: Rows per case beside one per method.
    """
    n_row = len(run.methods) + extra
    figure, axes = panel((4.5, 0.75 + 0.21 * len(run.cases) * (n_row + 1.6)))
    tops = [i * (n_row + 1.6) + 1 for i in range(len(run.cases))]
    for case, top in zip(run.cases, tops, strict=True):
        axes.text(0, top - 0.85, case.short, transform=axes.get_yaxis_transform(), weight="bold", va="center", fontsize=9)
    axes.set_ylim(tops[-1] + n_row - 0.3, -0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return figure, axes, tops


def degradation(run: Run) -> Figure:
    """Mean absolute error inside (hollow) and outside (filled), per shift and method, with the baseline."""
    figure, axes, tops = by_case(run, extra=1)
    colour = colours(run.methods)
    labels: list[tuple[float, str]] = []
    for case, top in zip(run.cases, tops, strict=True):
        for i, method in enumerate(run.methods):
            _dumbbell(axes, top + i, case.value(method, "mae_in"), case.value(method, "mae_out"), colour[method], "o")
            seeds = [row["mae_out"] for row in case.of(method) if row.get("mae_out") is not None]
            axes.scatter(seeds, [top + i] * len(seeds), 60 * (len(seeds) > 1), color=colour[method], marker="|", linewidth=0.8, zorder=2)
            labels.append((top + i, method_name(method)))
        inside, outside = (case.value(run.reference, field) for field in ("baseline_in", "baseline_out"))
        _dumbbell(axes, top + len(run.methods), inside, outside, BASELINE, "D")
        labels.append((top + len(run.methods), "baseline"))
    axes.set_yticks([y for y, _ in labels], [text for _, text in labels])
    axes.set_xlim(0, axes.get_xlim()[1] * 1.12)
    axes.set_xlabel(f"mean absolute error ({run.unit or 'unit not recorded'})")
    fill_legend(axes)
    return figure


def _dumbbell(axes: Axes, y: float, inside: float | None, outside: float | None, colour: str, marker: str) -> None:
    size = 0.7 if marker == "D" else 1.0
    if inside is not None and outside is not None:
        axes.plot([inside, outside], [y, y], color=colour, lw=1.6, solid_capstyle="round", zorder=2)
        note_at = max(inside, outside)
        if inside > 0:
            axes.annotate(
                f"×{outside / inside:.1f}", (note_at, y), (6, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8
            )
    if inside is not None:
        axes.scatter(inside, y, 40 * size, facecolor=PAPER, edgecolor=colour, linewidth=1.4, marker=marker, zorder=3)
    if outside is not None:
        axes.scatter(outside, y, 26 * size, color=colour, marker=marker, zorder=4)


def fill_legend(axes: Axes) -> None:
    """Legend above the axes: hollow is inside, filled is outside, and what else was labelled."""
    for face, label in ((PAPER, "inside"), (MUTED, "outside")):
        axes.scatter([], [], 36, facecolor=face, edgecolor=MUTED, linewidth=1.2, label=label)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.2)


def parity(run: Run, pair: Pair, title: str, limits: tuple[float, float]) -> Figure:
    """Prediction against label, both test sets in one cloud drawn in random order so that neither hides the other."""
    figure, axes = panel()
    parts = (pair.outside, pair.inside)
    x, y = (np.concatenate([getattr(part, name) for part in parts]) for name in ("target", "mean"))
    colour = np.repeat([OUTSIDE, INSIDE], [len(part) for part in parts])
    order = np.random.default_rng(0).permutation(len(x))
    alpha = float(np.clip(25 / np.sqrt(len(x)), 0.15, 0.7))
    axes.plot(limits, limits, color=MUTED, lw=0.8, zorder=1)
    axes.scatter(x[order], y[order], 7, color=colour[order], alpha=alpha, linewidths=0, rasterized=len(x) > VECTOR, zorder=2)
    axes.set(xlim=limits, ylim=limits, xlabel=f"label ({run.unit})", ylabel=f"prediction ({run.unit})")
    axes.set_title(title)
    axes.set_aspect("equal")
    for i, (name, part, shade) in enumerate((("inside", pair.inside, INSIDE), ("outside", pair.outside, OUTSIDE))):
        note(axes, 0.04, 0.97 - 0.085 * i, f"{name} {number(part.error.mean())}  (n = {len(part):,})", shade, va="top")
    return figure


def parity_limits(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Common range of labels and predictions, with a margin of 4%."""
    values = np.concatenate([array for pair in pairs for part in (pair.inside, pair.outside) for array in (part.target, part.mean)])
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low or 1.0)
    return low - margin, high + margin


def element_errors(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute error over the crystals that contain each element [119], NaN where none does, and their number [119]."""
    known = [part for part in parts if part.elements is not None]
    count = sum((part.elements.sum(0).astype(int) for part in known if part.elements is not None), np.zeros(119, int))
    total = sum((part.error @ part.elements.astype(float) for part in known if part.elements is not None), np.zeros(119))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


def periodic_table(run: Run, title: str, error: np.ndarray, count: np.ndarray, limits: tuple[float, float]) -> Figure:
    """The periodic table, coloured by mean absolute error on a logarithmic scale; grey where no crystal has the element.

    Args:
      run: The run, for the unit.
      title: Heading.
      error: Mean absolute error per atomic number [119], NaN where absent.
      count: Crystals per atomic number [119].
      limits: Smallest and largest error of the colour scale, positive.
    """
    figure, axes = panel((8.4, 4.5))
    norm, cmap = LogNorm(*limits, clip=True), matplotlib.colormaps[MAP].reversed()
    for z in range(1, 104):
        x, y = _place(z)
        face = RULE if np.isnan(error[z]) else cmap(norm(error[z]))
        axes.add_patch(Rectangle((x + 0.03, y + 0.03), 0.94, 0.94, facecolor=face, linewidth=0))
        _cell_text(axes, x, y, z, error[z], count[z], face)
    axes.set(xlim=(0.9, 19.1), ylim=(10.4, 0.9))
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title(title)
    scale = axes.inset_axes((4.0, 2.25, 7.0, 0.28), transform=axes.transData)
    bar = figure.colorbar(ScalarMappable(norm, cmap), cax=scale, orientation="horizontal")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.minorticks_off()
    ticks = np.geomspace(*limits, 4)
    bar.set_ticks(list(ticks), labels=[f"{tick:.2g}" for tick in ticks])
    scale.set_title(f"mean absolute error ({run.unit})", fontsize=8.5, weight="normal", color=MUTED, pad=4)
    return figure


def _place(z: int) -> tuple[float, float]:
    """Column and row of an element; lanthanides and actinides in two rows below."""
    for first, row in ((57, 8.3), (89, 9.3)):
        if first <= z <= first + 14:
            return z - first + 4, row
    return float(table()["group"][z]), float(table()["period"][z])


def _cell_text(axes: Axes, x: float, y: float, z: int, error: float, count: int, face: Any) -> None:
    absent = np.isnan(error)
    light = absent or np.dot(to_rgb(face), (0.299, 0.587, 0.114)) > 0.55
    ink = MUTED if absent else "#111111" if light else "#ffffff"
    axes.text(x + 0.5, y + (0.5 if absent else 0.26), SYMBOLS[z], ha="center", va="center", fontsize=11, weight="bold", color=ink)
    if not absent:
        axes.text(x + 0.5, y + 0.59, number(error), ha="center", va="center", fontsize=8.5, color=ink)
        axes.text(x + 0.5, y + 0.84, f"{count}", ha="center", va="center", fontsize=7, color=ink)


def colour_limits(errors: Sequence[np.ndarray]) -> tuple[float, float]:
    """5th and 95th percentile of positive errors: the range of a logarithmic colour scale."""
    values = np.concatenate([error[np.isfinite(error) & (error > 0)] for error in errors])
    if not len(values):
        return 0.1, 1.0
    low, high = np.percentile(values, [5, 95])
    return (float(low), float(high)) if high > 1.05 * low else (float(low) / 2, float(high) * 2)
