"""What the discovery figures share: colours of proposers, a scale for what comes in order, and marks of zero."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex

from matjax.report.discovery import LEARNED
from matjax.report.style import BASELINE, INK, MUTED, OTHERS

SCALE = LinearSegmentedColormap.from_list("order", ["#3f9bd1", "#8a63b0", "#c9402f"])
"""First or cold to last or hot; every colour of it can be seen on light and on dark paper."""

_KNOWN = {LEARNED: INK, "genetic": OTHERS[0], "random": BASELINE}


def proposer_colours(names: Sequence[str]) -> dict[str, str]:
    """One colour per proposer: matjax in ink, random in the grey of baselines, genetic and any other its own."""
    others = iter(OTHERS[1:] * (1 + len(names)))
    return {name: _KNOWN.get(name) or next(others) for name in names}


def ordered_colours(n: int) -> list[str]:
    """Colours of n things in order."""
    return [to_hex(SCALE(value)) for value in (np.linspace(0, 1, n) if n > 1 else [0.5])]


def stable_below(axes: Axes) -> None:
    """A line at zero stability with its meaning beside the axes, and zero in view."""
    low, high = axes.get_ylim()
    margin = 0.06 * (max(high, 0.0) - min(low, 0.0))
    axes.set_ylim(min(low, -margin), max(high, margin))
    axes.axhline(0, color=MUTED, lw=0.9, zorder=1)
    axes.annotate("stable\n↓", (1, 0), (4, 0), axes.get_yaxis_transform(), "offset points", va="top", color=MUTED, fontsize=8)


def lines_above(axes: Axes, n: int = 3, backwards: bool = False) -> None:
    """The legend in rows of n above the axes, where it can hide nothing; backwards where what was drawn last comes first."""
    order = slice(None, None, -1 if backwards else 1)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[order], labels[order], ncols=n, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2,
        handlelength=1.5, handletextpad=0.5,
    )  # fmt: skip
