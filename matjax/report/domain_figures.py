"""Figures with one row per domain: what holding it out costs, and whether the intervals noticed, by certificate class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, ScalarFormatter

from matjax.report.run import Case, Run, growth
from matjax.report.style import CLASSES, MUTED, PAPER, RULE, panel
from matjax.report.words import family_name, percent

ROW, GAP = 0.155, 1.9
"""Inches per domain; rows between families."""

UNDER = 0.05
"""Coverage this far below the level counts as too low."""


def by_family(run: Run) -> dict[str, list[Case]]:
    """{shift: its cases, the worst first}, the random control apart."""
    found: dict[str, list[Case]] = {}
    for case in reversed(run.cases):
        if not case.control:
            found.setdefault(case.shift, []).append(case)
    return dict(sorted(found.items()))


def domain_degradation(run: Run) -> Figure | None:
    """Error ratio of the reference per domain (filled: on the same materials; hollow: outside over inside), by certificate class."""
    values = {(c.shift, c.domain): growth(c, run.reference) for cases in by_family(run).values() for c in cases}
    if not any(value is not None for value in values.values()):
        return None
    figure, axes, places = _rows(run)
    for case, y in places:
        value, matched = values[case.shift, case.domain], case.value(run.reference, "matched_ratio") is not None
        if value is None:
            continue
        colour = _colour(run, case)
        axes.plot([1, value], [y, y], color=colour, lw=1, alpha=0.5, zorder=2)
        axes.scatter(value, y, 22, facecolor=colour if matched else PAPER, edgecolor=colour, linewidth=1.1, zorder=3)
    for cases, (top, bottom) in _spans(run):
        logs = np.log([value for c in cases if (value := values[c.shift, c.domain])])
        if len(logs) > 1:
            mean = float(np.exp(logs.mean()))
            axes.plot([mean, mean], [top - 0.5, bottom + 0.5], color=MUTED, lw=1.1, ls="--", zorder=1)
        axes.plot([1, 1], [top - 0.5, bottom + 0.5], color=MUTED, lw=0.8, zorder=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in (0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20) if low <= tick <= high])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    axes.set_xlabel("error held out over error inside")
    handles = [_mark(MUTED, MUTED, "same materials"), _mark(PAPER, MUTED, "outside over inside")]
    _legend(axes, [*_class_handles(run), *handles] if _both(run) else _class_handles(run))
    return figure


def domain_coverage(run: Run) -> Figure | None:
    """Coverage outside per domain: split intervals (circle) and leave-domain-out intervals (square), by certificate class."""
    level = run.level
    if level is None or not any(row.get("coverage_out") is not None for row in run.rows):
        return None
    figure, axes, places = _rows(run)
    for case, y in places:
        colour = _colour(run, case)
        split, ldo = (case.value(run.reference, f"coverage_out{suffix}") for suffix in ("", "_ldo"))
        if split is not None and ldo is not None:
            axes.plot([split, ldo], [y, y], color=colour, lw=1, alpha=0.5, zorder=2)
        if split is not None:
            axes.scatter(split, y, 20, facecolor=PAPER, edgecolor=colour, linewidth=1.1, zorder=3)
        if ldo is not None:
            axes.scatter(ldo, y, 16, color=colour, marker="s", zorder=4)
    low, high = axes.get_xlim()
    axes.set_xlim(max(0.0, low), min(high, 1.02))
    for _, (top, bottom) in _spans(run):
        axes.fill_betweenx([top - 0.5, bottom + 0.5], axes.get_xlim()[0], level - UNDER, color=RULE, alpha=0.45, lw=0, zorder=0)
        axes.plot([level, level], [top - 0.5, bottom + 0.5], color=MUTED, lw=1, zorder=1)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    axes.set_xlabel(f"crystals inside their {percent(level)} interval; grey: below {percent(level - UNDER)}")
    handles = [_mark(PAPER, MUTED, "split"), _mark(MUTED, MUTED, "leave-domain-out", "s")]
    _legend(axes, [*_class_handles(run), *handles])
    return figure


def _rows(run: Run) -> tuple[Figure, Axes, list[tuple[Case, float]]]:
    """Axes with a row per domain under the heading of its family, and the y of each."""
    spans = _spans(run)
    n_row = spans[-1][1][1]
    figure, axes = panel((4.5, 0.95 + ROW * (n_row + 1.2)))
    places = [(case, top + i) for cases, (top, _) in spans for i, case in enumerate(cases)]
    axes.set_yticks([y for _, y in places], [_name(case) for case, _ in places], fontsize=7.5)
    for cases, (top, _) in spans:
        axes.text(
            0.0,
            top - 1.05,
            f"{family_name(cases[0].shift)} ({len(cases)})",
            transform=axes.get_yaxis_transform(),
            weight="bold",
            va="center",
        )
    axes.set_ylim(n_row + 0.8, -0.9)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure, axes, places


def _spans(run: Run) -> list[tuple[list[Case], tuple[float, float]]]:
    """Cases of each family with the y of the first and the last."""
    spans, top = [], 0.6
    for cases in by_family(run).values():
        spans.append((cases, (top, top + len(cases) - 1)))
        top += len(cases) + GAP
    return spans


def _name(case: Case) -> str:
    return case.domain if len(case.domain) <= 22 else f"{case.domain[:21]}…"


def _class(run: Run, case: Case) -> str:
    return next((str(row["certificate"]) for row in case.of(run.reference) if row.get("certificate")), "")


def _colour(run: Run, case: Case) -> str:
    return CLASSES.get(_class(run, case), MUTED)


def _both(run: Run) -> bool:
    known = {c.value(run.reference, "matched_ratio") is not None for cases in by_family(run).values() for c in cases}
    return len(known) > 1


def _mark(face: str, edge: str, label: str, marker: str = "o") -> Line2D:
    return Line2D([], [], ls="", marker=marker, markersize=5, markerfacecolor=face, markeredgecolor=edge, label=label)


def _class_handles(run: Run) -> list[Line2D]:
    present = {_class(run, case) for cases in by_family(run).values() for case in cases}
    return [_mark(colour, colour, name) for name, colour in CLASSES.items() if name in present]


def _legend(axes: Axes, handles: Sequence[Line2D]) -> None:
    place = {"loc": "lower left", "bbox_to_anchor": (-0.2, 1), "borderaxespad": 0.2}
    axes.legend(handles=list(handles), ncols=len(handles), fontsize=7.5, columnspacing=0.8, **place)
