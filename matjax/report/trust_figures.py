"""Figures of trust: coverage of intervals, reliability of the spread, and error against the share that is kept."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from matjax.report.error_figures import by_case, fill_legend
from matjax.report.run import Case, Pair, Run
from matjax.report.style import INK, INSIDE, MUTED, OUTSIDE, PAPER, RULE, colours, note, panel
from matjax.report.words import method_name, number
from matjax.stress_test import metrics
from matjax.uncertainty.scores import miscalibration_area, reliability

KINDS = (("", "o", -0.2, "split"), ("_ldo", "s", 0.2, "leave-domain-out"))


def coverage(run: Run) -> Figure | None:
    """Coverage of the intervals inside (hollow) and outside (filled), split and leave-domain-out, against the level."""
    level = run.level
    if level is None or not any(row.get("coverage_out") is not None for row in run.rows):
        return None
    figure, axes, tops = by_case(run, extra=1)
    colour = colours(run.methods)
    for case, top in zip(run.cases, tops, strict=True):
        _band(axes, case, level, top - 0.5, len(run.methods))
        for i, method in enumerate(run.methods):
            for suffix, marker, shift, _ in KINDS:
                ends = [case.value(method, f"coverage_{side}{suffix}") for side in ("in", "out")]
                _ends(axes, top + i + shift, ends[0], ends[1], colour[method], marker)
    axes.axvline(level, color=MUTED, lw=1, zorder=1)
    axes.set_yticks(
        [top + i for top in tops for i in range(len(run.methods))],
        [method_name(method) for _ in tops for method in run.methods],
    )
    low = min([*_values(run), level])
    axes.set_xlim(max(0.0, np.floor((low - 0.03) * 10) / 10), 1.02)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    axes.set_xlabel(f"crystals inside their interval (wanted: {level:.0%})")
    for _, marker, _, label in KINDS:
        axes.scatter([], [], 30, color=MUTED, marker=marker, label=label)
    fill_legend(axes)
    return figure


def _values(run: Run) -> list[float]:
    fields = [f"coverage_{side}{suffix}" for side in ("in", "out") for suffix in ("", "_ldo")]
    return [row[field] for row in run.rows for field in fields if row.get(field) is not None]


def _band(axes: Axes, case: Case, level: float, top: float, n_row: int) -> None:
    """Where 95% of the observed coverages of exact intervals fall, for this number of test crystals."""
    n = min((int(row["n_test"]) for row in case.rows if row.get("n_test")), default=0)
    if n:
        half = 1.96 * np.sqrt(level * (1 - level) / n)
        axes.add_patch(Rectangle((level - half, top), min(2 * half, 1 - level + half), n_row, facecolor=RULE, linewidth=0, zorder=0.5))


def _ends(axes: Axes, y: float, inside: float | None, outside: float | None, colour: str, marker: str) -> None:
    if inside is not None and outside is not None:
        axes.plot([inside, outside], [y, y], color=colour, lw=1.1, alpha=0.6, zorder=2)
    if inside is not None:
        axes.scatter(inside, y, 28, facecolor=PAPER, edgecolor=colour, linewidth=1.2, marker=marker, zorder=3)
    if outside is not None:
        axes.scatter(outside, y, 16, color=colour, marker=marker, zorder=4)


def reliability_curve(pair: Pair, title: str) -> Figure | None:
    """Share of errors inside the central Gaussian interval of the predicted spread, against its nominal level."""
    parts = (("inside", pair.inside, INSIDE), ("outside", pair.outside, OUTSIDE))
    if any(part.total_std is None or not (part.total_std > 0).all() for _, part, _ in parts):
        return None
    figure, axes = panel()
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8)
    for i, (name, part, colour) in enumerate(parts):
        spread = np.asarray(part.total_std)
        axes.plot(*reliability(part.mean - part.target, spread, 51), color=colour)
        area = miscalibration_area(part.mean - part.target, spread)
        note(axes, 0.04, 0.97 - 0.085 * i, f"{name}: area {area:.2f}", colour, va="top")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage of ± spread", ylabel="observed coverage")
    axes.set_title(title)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda x, _: f"{x:.0%}")
    return figure


def risk_coverage(run: Run, case: Case, pair: Pair) -> Figure | None:
    """Error against the share of test crystals kept, inside and outside together, the most trusted first."""
    parts = (pair.inside, pair.outside)
    join = lambda name: np.concatenate([getattr(part, name) for part in parts])
    known = [name for name in ("score", "total_std") if all(getattr(part, name) is not None for part in parts)]
    if not known:
        return None
    error = join("error")
    names = {"score": "shift score", "total_std": "spread"}
    orders = [(names[name], join(name), INK, "-", 1.8 if name == "score" else 0.9) for name in known]
    orders += [("oracle", error, MUTED, "--", 1.2), ("random", np.zeros(len(error)), MUTED, ":", 1.2)]
    figure, axes = panel((3.0, 2.75))
    skip = len(error) // 50  # the mean of very few crystals is noise
    for name, doubt, colour, style, width in orders:
        share, kept = metrics.risk_coverage(error, doubt)
        label = f"{name} {number(metrics.aurc(error, doubt))}"
        axes.plot(share[skip:], kept[skip:], color=colour, ls=style, lw=width, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * float(axes.dataLim.y1)), xlabel="share of crystals kept", ylabel=f"mean error ({run.unit})")
    axes.set_title(case.short, pad=28)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0, handlelength=1.6, fontsize=7.5, handletextpad=0.5)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    axes.grid(axis="y")
    return figure
