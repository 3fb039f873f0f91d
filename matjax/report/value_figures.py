"""The value function over partial compositions: a matrix of element pairs and a ternary map."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from matjax.report.discovery import ValueMap
from matjax.report.style import MAP, MUTED, RULE, panel
from matjax.report.words import number

HEIGHT = np.sqrt(3) / 2
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, HEIGHT]])
"""Where the three elements stand: left, right, top."""


def pair_matrix(value: ValueMap) -> Figure | None:
    """Value after two elements were chosen, a cell per pair; grey where the pair cannot be placed."""
    if value.pairs is None:
        return None
    n, known = len(value.elements), value.pairs[np.isfinite(value.pairs)]
    figure, axes = panel((4.6, 3.9))
    norm, cmap = Normalize(known.min(), known.max() if known.max() > known.min() else known.min() + 1), matplotlib.colormaps[MAP]
    for i, j in np.ndindex(n, n):
        cell = value.pairs[i, j]
        face: Any = cmap(norm(cell)) if np.isfinite(cell) else RULE
        axes.add_patch(Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=face, linewidth=0))
        if np.isfinite(cell) and n <= 10:
            ink = "#111111" if np.dot(to_rgb(face), (0.299, 0.587, 0.114)) > 0.55 else "#ffffff"
            axes.text(j, i, number(float(cell)).replace("-", "−"), ha="center", va="center", fontsize=7 if n <= 8 else 5.5, color=ink)
    axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5))
    axes.set_xticks(range(n), value.elements)
    axes.set_yticks(range(n), value.elements)
    axes.xaxis.tick_top()
    axes.set_aspect("equal")
    _bare(axes)
    _bar(figure, axes, norm)
    return figure


def ternary_map(value: ValueMap) -> Figure | None:
    """Value of partial alloys of three elements, a hexagon each in the triangle of their ratios."""
    if value.points is None:
        return None
    amounts, height = _ratios(value.points)
    centres = amounts @ CORNERS
    norm = Normalize(height.min(), height.max() if height.max() > height.min() else height.min() + 1)
    figure, axes = panel((4.6, 3.9))
    triangle = Polygon(CORNERS, closed=True, facecolor="none", edgecolor=MUTED, linewidth=0.8, zorder=4)
    hexagons = PolyCollection(
        list(_hexagons(centres)), facecolors=matplotlib.colormaps[MAP](norm(height)), edgecolors="face", linewidths=0.3
    )
    axes.add_collection(hexagons)
    axes.add_patch(triangle)
    hexagons.set_clip_path(triangle)
    _scales(axes, value.corners)
    axes.set(xlim=(-0.17, 1.17), ylim=(-0.17, HEIGHT + 0.12))
    axes.set_aspect("equal")
    axes.axis("off")
    _bar(figure, axes, norm)
    return figure


def _ratios(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ratios of the three amounts [n, 3] and the highest value at each [n]."""
    ratios = np.round(points[:, :3] / points[:, :3].sum(1, keepdims=True), 6)
    distinct, place = np.unique(ratios, axis=0, return_inverse=True)
    height = np.full(len(distinct), -np.inf)
    np.maximum.at(height, place.reshape(-1), points[:, 3])
    return distinct, height


def _hexagons(centres: np.ndarray) -> np.ndarray:
    """Hexagons [n, 6, 2] around points, so large that those of a regular triangular grid touch."""
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=-1) + 9 * np.eye(len(centres))
    radius = min(float(distance.min()), 0.12) / np.sqrt(3)
    angle = np.pi / 6 + np.arange(6) * np.pi / 3
    return centres[:, None] + radius * np.stack([np.cos(angle), np.sin(angle)], -1)


def _scales(axes: Axes, corners: tuple[str, ...]) -> None:
    """Element names at the corners, and on each side the percent of the element towards whose corner it counts up."""
    for place, name, shift in zip(CORNERS, corners, ((-0.07, -0.07), (0.07, -0.07), (0, 0.06)), strict=True):
        axes.text(place[0] + shift[0], place[1] + shift[1], name, ha="center", va="center", weight="bold", fontsize=11)
    for start, end, shift, where in (
        (0, 1, (0.0, -0.035), ("center", "top")),
        (1, 2, (0.025, 0.01), ("left", "center")),
        (2, 0, (-0.025, 0.01), ("right", "center")),
    ):
        for share in (0.2, 0.4, 0.6, 0.8):
            place = (1 - share) * CORNERS[start] + share * CORNERS[end]
            across = (1 - share) * CORNERS[3 - start - end] + share * CORNERS[end]
            axes.plot([place[0], across[0]], [place[1], across[1]], color=MUTED, lw=0.4, alpha=0.5, zorder=5)
            axes.text(place[0] + shift[0], place[1] + shift[1], f"{100 * share:.0f}", ha=where[0], va=where[1], fontsize=7, color=MUTED)
        middle = 0.5 * (CORNERS[start] + CORNERS[end])
        outward = middle - CORNERS.mean(0)
        offset = middle + outward / np.linalg.norm(outward) * 0.115
        rotation = {0: 0, 1: -60, 2: 60}[start]
        axes.text(offset[0], offset[1], f"{corners[end]} (at.%)", ha="center", va="center", fontsize=8, color=MUTED, rotation=rotation)


def _bare(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, labelsize=9)


def _bar(figure: Figure, axes: Axes, norm: Normalize) -> None:
    bar = figure.colorbar(ScalarMappable(norm, MAP), ax=axes, shrink=0.7, aspect=22, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label("value")
