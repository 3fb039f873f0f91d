"""Result.json for readers: the tables of the README, and the best true utility so far against oracle calls.

python experiments/discovery/hea/_show.py     # prints the tables, writes utility.png
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from matjax.report.style import STYLE

HERE = Path(__file__).resolve().parent
NAMES = {
    "value": "value learning, graph networks",
    "gaussian_process": "Gaussian process (upper bound)",
    "genetic": "genetic, no model",
    "random": "random",
    "rules": "rules of composition, cheapest first",
}


def draw(rows: dict[str, dict]) -> Figure:
    """The figure of the campaign rows of a result."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for i, (method, name) in enumerate(NAMES.items()):
            runs = [row["utility"] for key, row in rows.items() if key.rpartition(" ")[0] == method and "utility" in row]
            if not runs:
                continue
            n = min(map(len, runs))
            best = np.array([np.maximum.accumulate([u or 0.0 for u in run])[:n] for run in runs])
            for line in best:
                axes.plot(np.arange(1, n + 1), line, color=f"C{i}", linewidth=0.6, alpha=0.5)
            axes.plot(np.arange(1, n + 1), best.mean(0), color=f"C{i}", linewidth=2, label=name)
        axes.set(xlabel="oracle calls", ylabel="best true utility so far", ylim=(0, 0.85))
        axes.legend(loc="lower right", fontsize="small", frameon=False)
    return figure


def table(rows: dict[str, dict]) -> list[str]:
    """Methods against each other, means of their campaigns with their range."""
    runs = {method: [row for key, row in rows.items() if key.rpartition(" ")[0] == method and "utility" in row] for method in NAMES}
    marks = sorted({int(m) for found in runs.values() for row in found for m in row["best"]})
    marks = [m for m in marks if m in (8, 25, 50, 100, 200)]
    lines = ["| | " + " | ".join(runs) + " |", "|---" * (1 + len(runs)) + "|"]
    for mark in marks:
        lines.append(
            f"| best true utility at {mark} calls | "
            + " | ".join(_span([r["best"][str(mark)] for r in f], 2) for f in runs.values())
            + " |"
        )
    first = lambda key: " | ".join(", ".join("never" if r[key] is None else str(r[key]) for r in f) for f in runs.values())
    lines.append(f"| calls to the first viable alloy | {first('first_viable')} |")
    lines.append(f"| calls to the first stable one | {first('first_stable')} |")
    for key, name in (("n_viable", "viable"), ("n_stable", "stable"), ("n_failed", "not converged")):
        lines.append(f"| of {max(len(r['utility']) for f in runs.values() for r in f)} calls, {name} | ")
        lines[-1] += " | ".join(_span([r[key] for r in f], 0) for f in runs.values()) + " |"
    return lines


def alloys(rows: dict[str, dict]) -> list[str]:
    """The best alloy of every campaign."""
    lines = ["| campaign | best alloy | utility | meV/atom | B/G | USD/kg |", "|---|---|---|---|---|---|"]
    for key, row in rows.items():
        if best := row.get("best_alloy"):
            told = f"{best['utility']:.2f} | {1000 * best['stability']:.1f} | {best['pugh_ratio']:.1f} | {best['price']:.0f}"
            lines.append(f"| {key} | {best['candidate']} | {told} |")
    return lines


def falls_apart(rows: dict[str, dict]) -> list[str]:
    """What unstable picks would decompose into, a few of each method's first campaign."""
    lines = []
    for key, row in rows.items():
        for told in row.get("decomposes", [])[:1]:
            phases = ", ".join(f"{100 * c['fraction']:.0f} % {c['phase']} {_formula(c['composition'])}" for c in told["competitors"])
            lines.append(f"| {key} | {told['candidate']} | {1000 * told['stability']:.1f} | {phases} |")
    return ["| campaign | alloy | meV/atom above | what is lower |", "|---|---|---|---|", *lines]


def _formula(x: dict[str, float]) -> str:
    return " ".join(f"{s}{100 * v:.0f}" for s, v in x.items() if v > 0.005)


def _span(values: list[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    rows = json.loads((HERE / "result.json").read_text(encoding="utf-8"))["rows"]
    draw(rows).savefig(HERE / "utility.png", dpi=110, facecolor="white")
    print("\n".join([*table(rows), "", *alloys(rows), "", *falls_apart(rows), ""]))
    print(json.dumps({key: row for key, row in rows.items() if key.startswith(("experiment", "cross"))}, indent=1))
