"""Learning curves of a training run: risk and validation error per epoch, one panel each, one line per fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from matjax.report.style import MUTED, STYLE, colours, to_svg

NAME = "learning_curves.svg"


def learning_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Risk of training and validation error against epochs, on logarithmic axes; the best epoch of each fit is marked.

    Args:
      rows: Lines of `history.jsonl`: `fit`, `epoch`, `risk`, `validation`, `unit`.

    Raises:
      ValueError: If there are none.
    """
    if not rows:
        raise ValueError("a run without a finished epoch has no learning curves")
    fits = list(dict.fromkeys(row["fit"] for row in rows))
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    colour = colours(fits)
    for axes, name, words in zip(figure.subplots(1, 2), ("risk", "validation"), ("risk", "validation error"), strict=True):
        for fit in fits:
            curve = [(row["epoch"], row[name]) for row in rows if row["fit"] == fit]
            axes.plot(*zip(*curve, strict=True), color=colour[fit], marker="." if len(curve) < 30 else None, label=fit)
            if name == "validation":
                axes.plot(*min(curve, key=lambda point: point[1]), "o", mfc="none", mec=colour[fit], ms=7)
        unit = rows[0]["unit"] if name == "validation" else ""
        axes.set(xlabel="epoch", ylabel=f"{words} ({unit})" if unit else words)
        if all(row[name] > 0 for row in rows):  # a likelihood may be negative
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, place: f"{value:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(axis="y")
    if len(fits) > 1:
        figure.axes[0].legend(labelcolor=MUTED)
    return figure


def write_learning_curves(run_dir: Path) -> Path:
    """Writes the curves of a training run beside its `history.jsonl`.

    Raises:
      ValueError: If the folder has no `history.jsonl`, or it has no epoch.
    """
    source = run_dir / "history.jsonl"
    if not source.exists():
        raise ValueError(f"{run_dir}: no history.jsonl; give the folder of a training run")
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    path = run_dir / NAME
    with matplotlib.rc_context(STYLE):
        path.write_text(to_svg(learning_curves(rows)), encoding="utf-8")
    return path
