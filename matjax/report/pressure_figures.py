"""Proxy against truth: what the reward promises and what the oracle says, as more candidates are chosen from."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from matjax.report.discovery import Discovery
from matjax.report.discovery_style import lines_above
from matjax.report.run import Row
from matjax.report.style import INK, MUTED, OTHERS, panel
from matjax.report.words import number

SINGLE = OTHERS[4]


def pressure_limits(discovery: Discovery) -> tuple[float, float]:
    """Common range of both panels, with a margin of 5%."""
    fields = ("proxy", "truth", "truth_low", "truth_high", "proxy_single", "truth_single")
    values = [row[field] for row in discovery.pressure for field in fields if row.get(field) is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.05 * (high - low or 1.0)
    return low - margin, high + margin


def pressure(discovery: Discovery, title: str, proxy: str, truth: str) -> Figure | None:
    """Mean proxy (dashed) and mean truth (solid) of the best of n by one proxy, with the gap between them shaded.

    Args:
      discovery: The campaign.
      title: Whose proxy it is.
      proxy: Field of the promise.
      truth: Field of the truth.
    """
    rows = [row for row in discovery.pressure if row.get(proxy) is not None and row.get(truth) is not None]
    if not rows:
        return None
    figure, axes = panel((4.6, 3.4))
    own = truth == "truth"
    colour = INK if own else SINGLE
    n, promised, found = (np.array([row[field] for row in rows], float) for field in ("n", proxy, truth))
    axes.fill_between(n, found, promised, color=colour, alpha=0.1, linewidth=0, zorder=1)
    axes.plot(n, promised, color=colour, lw=1.4, ls=(0, (4, 2)), zorder=3, label="promised by the proxy")
    axes.plot(n, found, color=colour, lw=2.2, marker="o", ms=3.5, zorder=4, label="true")
    if own:
        _interval(axes, rows)
    elif others := [row for row in discovery.pressure if row.get("truth") is not None]:
        x, y = ([row[field] for row in others] for field in ("n", "truth"))
        axes.plot(x, y, color=INK, lw=1.0, zorder=2, label="true, ensemble")
    _ends(axes, n[-1], promised[-1], found[-1])
    values = "utility" if pressure_limits(discovery)[1] > 0 and min(found.min(), promised.min()) >= 0 else "log utility"
    axes.set_xscale("log", base=2)
    ticks = n if len(n) <= 7 else n[:: -(-len(n) // 6)]
    axes.set_xticks(ticks, [f"{value:,.0f}" for value in ticks])
    axes.minorticks_off()
    axes.set(ylim=pressure_limits(discovery), xlabel="candidates chosen from (n of best-of-n)", ylabel=f"{values} of the chosen one")
    axes.set_title(title, pad=24)
    axes.grid(axis="y")
    lines_above(axes)
    return figure


def brake_record(discovery: Discovery) -> Figure | None:
    """Evidence of the audit picks against the reward as each round began, and how far the search was then held back."""
    needed = ("round", "audit_evidence", "brake", "n_breach")
    rows = [row for row in discovery.rounds if all(row.get(field) is not None for field in needed)]
    if not rows:
        return None
    figure, axes = panel((4.6, 3.4))
    turn, evidence, factor = (np.array([row[field] for row in rows], float) for field in ("round", "audit_evidence", "brake"))
    axes.plot(turn, evidence, color=INK, lw=1.4, marker="o", ms=3.5, label="evidence against the reward")
    axes.step(turn, factor, where="post", color=SINGLE, lw=2.0, label="KL budget, of the first")
    for row, after in zip(rows, rows[1:], strict=False):
        if after["n_breach"] > row["n_breach"]:
            axes.axvline(after["round"], color=SINGLE, lw=0.9, ls=(0, (1, 2)), zorder=1)
    axes.set_yscale("log", base=2)
    axes.set(xlabel="round", ylabel="times 1 (no evidence, not held back)")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_title("audit picks and the brake", pad=24)
    axes.grid(axis="y")
    lines_above(axes)
    return figure


def _interval(axes: Axes, rows: list[Row]) -> None:
    known = [row for row in rows if row.get("truth_low") is not None and row.get("truth_high") is not None]
    if known:
        n, low, high = ([row[field] for row in known] for field in ("n", "truth_low", "truth_high"))
        axes.errorbar(n, [(a + b) / 2 for a, b in zip(low, high, strict=True)], [(b - a) / 2 for a, b in zip(low, high, strict=True)],
                      fmt="none", ecolor=MUTED, elinewidth=0.9, capsize=2, zorder=2)  # fmt: skip


def _ends(axes: Axes, n: float, promised: float, found: float) -> None:
    """The gap at the largest pressure, in numbers."""
    axes.annotate(
        f"gap {number(promised - found)}".replace("-", "−"), (n, (promised + found) / 2), (6, 0), textcoords="offset points",
        va="center", color=MUTED, fontsize=8, annotation_clip=False,
    )  # fmt: skip
