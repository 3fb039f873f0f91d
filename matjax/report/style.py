"""How figures look: one palette, one set of sizes, and SVG that follows the page's light or dark colours.

Colours mean the same everywhere. Blue is inside the training domains and vermilion outside (Okabe & Ito 2008, safe for
colour-blind readers); a method keeps its own colour; where colour is the method, hollow is inside and filled is outside.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#1b1f25", "#5b6370", "#d8dce2", "#fefefe"
INSIDE, OUTSIDE, BASELINE = "#0072b2", "#d55e00", "#8c939d"
OTHERS = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f5aa8", "#8c6d31")
CLASSES = {"interpolative": BASELINE, "partial": "#e69f00", "extrapolative": OUTSIDE}
MAP = "cividis"
VECTOR = 1200  # points that are still smaller as vectors than as an image
PANEL = (3.0, 2.9)  # inches: one panel of a row of panels, and the width of a phone

STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handletextpad": 0.2,
    "legend.columnspacing": 1.2,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "matjax",
}
THEME = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    INSIDE: "var(--inside)",
    OUTSIDE: "var(--outside)",
}
FONTS = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


def colours(methods: Sequence[str]) -> dict[str, str]:
    """One colour per method; the first, the reference, is in ink."""
    return {name: INK if i == 0 else OTHERS[(i - 1) % len(OTHERS)] for i, name in enumerate(methods)}


def panel(size: tuple[float, float] = PANEL) -> tuple[Figure, Axes]:
    """An empty figure of this size in inches, with one pair of axes."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def note(axes: Axes, x: float, y: float, text: str, colour: str = MUTED, **where: str) -> None:
    """Text at a place given in fractions of the axes."""
    axes.text(x, y, text, color=colour, transform=axes.transAxes, fontsize=8, **where)  # type: ignore[arg-type]


def to_svg(figure: Figure) -> str:
    """The figure as an SVG document: real text, no date, equal bytes for equal figures."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", dpi=160, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return re.sub(r"font-family: [^;\"]*", f"font-family: {FONTS}", buffer.getvalue())


def inline(svg: str, name: str, alt: str) -> str:
    """An SVG document as an element of a page: unique ids, the page's colours, as wide as its place, named for screen readers.

    Args:
      svg: What `to_svg` wrote.
      name: Prefix of every id in it, unique on the page.
      alt: What it shows.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = body.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
    for fixed, themed in THEME.items():
        body = body.replace(fixed, themed)
    return body
