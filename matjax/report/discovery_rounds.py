"""Rounds of learning: error, honesty of the spread, coverage and time, drawn and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from matjax.report.discovery import LEVEL, Discovery
from matjax.report.discovery_style import lines_above
from matjax.report.style import BASELINE, INK, MUTED, OTHERS, RULE, panel
from matjax.report.words import number, percent

SECONDS = (("learn", INK), ("propose", OTHERS[0]), ("oracle", BASELINE))


def round_error(discovery: Discovery) -> Figure | None:
    """Mean absolute error of stability on a batch before it was learned from, in meV/atom."""
    figure, axes = panel((3.0, 2.5))
    if not _line(axes, discovery, "mae_stability", INK, "", 1000):
        return None
    axes.set_ylim(0, 1.12 * float(axes.dataLim.y1) or 1.0)
    return _finish(figure, axes, "error of stability (meV/atom)", legend=False)


def round_spread(discovery: Discovery) -> Figure | None:
    """Root mean square of error over predicted spread, and the factor that the spread was widened by; 1 is honest."""
    figure, axes = panel((3.0, 2.5))
    drawn = [_line(axes, discovery, "rms_z", INK, "rms z"), _line(axes, discovery, "spread_factor", OTHERS[4], "spread factor")]
    if not any(drawn):
        return None
    axes.axhline(1, color=MUTED, lw=0.9, zorder=1)
    axes.set_ylim(0, 1.12 * max(float(axes.dataLim.y1), 1.0))
    return _finish(figure, axes, "ratio (1 is honest)")


def round_coverage(discovery: Discovery) -> Figure | None:
    """Share of measurements inside intervals given before, and where 95% of exact intervals would fall for this batch."""
    figure, axes = panel((3.0, 2.5))
    if not _line(axes, discovery, "coverage_90", INK, ""):
        return None
    batch = discovery.info.get("batch")
    if isinstance(batch, int) and batch > 0:
        half = 1.96 * float(np.sqrt(LEVEL * (1 - LEVEL) / batch))
        axes.axhspan(LEVEL - half, min(LEVEL + half, 1.0), color=RULE, linewidth=0, zorder=0.5)
    axes.axhline(LEVEL, color=MUTED, lw=0.9, zorder=1)
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    return _finish(figure, axes, f"inside {percent(LEVEL)} intervals", legend=False)


def round_seconds(discovery: Discovery) -> Figure | None:
    """Where the time of a round went."""
    rows = [row for row in discovery.rounds if row.get("round") is not None]
    if not any(row.get(f"seconds_{name}") for row in rows for name, _ in SECONDS):
        return None
    figure, axes = panel((3.0, 2.5))
    turn, floor = [row["round"] for row in rows], np.zeros(len(rows))
    for name, colour in SECONDS:
        seconds = np.array([row.get(f"seconds_{name}") or 0.0 for row in rows])
        axes.bar(turn, seconds, 0.62, floor, color=colour, linewidth=0, label=name)
        floor += seconds
    axes.set_xlim(min(turn) - 0.6, max(turn) + 0.6)
    return _finish(figure, axes, "seconds")


def _line(axes: Axes, discovery: Discovery, field: str, colour: str, label: str, factor: float = 1.0) -> bool:
    """Draws a field of the rounds that have it; whether there was any."""
    rows = [row for row in discovery.rounds if row.get("round") is not None and row.get(field) is not None]
    if rows:
        axes.plot([row["round"] for row in rows], [factor * row[field] for row in rows], color=colour, marker="o", ms=4, label=label)
    return bool(rows)


def _finish(figure: Figure, axes: Axes, title: str, legend: bool = True) -> Figure:
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.grid(axis="y")
    axes.set_title(title, pad=24 if legend else 8)
    if legend:
        lines_above(axes)
    return figure


COLUMNS = (
    ("round", "round", lambda value: f"{value:.0f}" if value >= 0 else "known"),
    ("n_train", "learned from", lambda value: f"{value:,.0f}"),
    ("mae_stability", "error of stability, meV/atom", lambda value: number(1000 * value)),
    ("mae_utility", "error of utility", number),
    ("rms_z", "rms z", lambda value: f"{value:.2f}"),
    ("coverage_90", f"inside {percent(LEVEL)}", percent),
    ("spread_factor", "spread factor", lambda value: f"{value:.2f}"),
    ("audit_gap", "audit gap of utility", lambda value: f"{value:+.2f}".replace("-", "−")),
    ("n_breach", "breaches", lambda value: f"{value:.0f}"),
    ("n_reward_calls", "candidates scored", lambda value: f"{value:,.0f}"),
    ("seconds_learn", "s learn", lambda value: f"{value:,.0f}"),
    ("seconds_propose", "s propose", lambda value: f"{value:,.0f}"),
    ("seconds_oracle", "s oracle", lambda value: f"{value:,.0f}"),
)


def round_table(discovery: Discovery) -> str:
    """The rounds as an HTML table; empty where there are none."""
    if not discovery.rounds:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for _, name, _ in COLUMNS)
    lines = "".join(f"<tr>{_cells([(row.get(field), form) for field, _, form in COLUMNS])}</tr>" for row in discovery.rounds)
    return f'<div class="scroll" tabindex="0"><table class="main"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _cells(values: Sequence) -> str:
    texts = [form(value) if value is not None else '<abbr title="not recorded">—</abbr>' for value, form in values]
    return f'<th scope="row">{texts[0]}</th>' + "".join(f"<td>{text}</td>" for text in texts[1:])
