"""From rows to a line per rung of the ladder, with the aim beside what was reached."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from _rows import INTERVALS

from matjax.keys import child
from matjax.stress_test.metrics import bootstrap_ratio

AIMED = ("element", "periodic_group", "crystal_system")
FEW_BELOW = {"element": 2, "periodic_group": 1}  # of 24 and 17; seven crystal systems cannot support a bound over domains
LOW, TOLERANCE, WIDEST, MOST_ABSTAINED = 0.85, 0.02, 1.45, 0.05


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per method and rung: geometric mean of the matched ratio over domains with its interval, and coverages over domains."""
    lines = []
    for method, split in dict.fromkeys((row["method"], row["split"]) for row in rows):
        mine = [row for row in rows if (row["method"], row["split"]) == (method, split)]
        ratio, low, high = bootstrap_ratio(np.log([row["matched_ratio"] for row in mine]), key=child(jax.random.key(0), method, split))
        line = {
            "method": method,
            "split": split,
            "n_domain": len(mine),
            "classes": {c: n for c in ("interpolative", "partial", "extrapolative") if (n := sum(r["certificate"] == c for r in mine))},
            "matched_ratio": ratio,
            "low": low,
            "high": high,
            "worst": max(row["matched_ratio"] for row in mine),
            "size_matched_ratio": float(np.exp(np.mean([np.log(row["size_matched_ratio"]) for row in mine]))),
            "coverage_split": float(np.mean([row["coverage_split"] for row in mine])),
            "coverage_split_min": min(row["coverage_split"] for row in mine),
            "below_split": sum(row["coverage_split"] < LOW for row in mine),
        }
        lines.append(line | _outside([row for row in mine if row["coverage_ldo"] is not None], split))
    return lines


def _outside(mine: list[dict[str, Any]], split: str) -> dict[str, Any]:
    """Columns of the leave-domain-out intervals, and whether each reached the aim where there is one."""
    found: dict[str, Any] = {"abstained": float(np.mean([row["abstained"] for row in mine]))} if mine else {}
    for kind in INTERVALS if mine else ():
        width = f"width_ratio_{kind}"
        coverage = np.array([row[f"coverage_{kind}"] for row in mine])
        answered = [row[width] for row in mine if row[width] is not None]
        found |= {
            f"coverage_{kind}": float(coverage.mean()),
            f"coverage_{kind}_min": float(coverage.min()),
            f"below_{kind}": int((coverage < LOW).sum()),
            width: float(np.mean(answered)) if answered else None,
        }
        if split in AIMED:
            found[f"aim_{kind}"] = _aim(found[f"coverage_{kind}"], found[f"below_{kind}"], found[width], found["abstained"], split)
    return found


def _aim(coverage: float, n_below: int, width: float | None, abstained: float, split: str) -> dict[str, bool]:
    """What was aimed at, and whether it was reached."""
    reached = {
        f"mean coverage 0.90 +/- {TOLERANCE}": abs(coverage - 0.9) <= TOLERANCE,
        f"width at most {WIDEST} of split conformal": width is not None and width <= WIDEST,
        f"at most {MOST_ABSTAINED:.0%} abstained": abstained <= MOST_ABSTAINED,
    }
    return reached | ({f"at most {FEW_BELOW[split]} domains below {LOW}": n_below <= FEW_BELOW[split]} if split in FEW_BELOW else {})


def markdown(lines: list[dict[str, Any]]) -> str:
    """The summary as a table."""
    head = "| method | split (domains) | class: i / p / e | matched ratio [95%] | worst | size-matched | split: cover (min), below 0.85 | "
    head += " | ".join(f"{k}: cover (min), below, width" for k in INTERVALS) + " |"
    rows = [head, "|" + "---|" * (7 + len(INTERVALS))]
    for line in lines:
        classes = " / ".join(str(line["classes"].get(c, 0)) for c in ("interpolative", "partial", "extrapolative"))
        low, high = (f"{line[end]:.2f}" for end in ("low", "high"))
        kinds = [("split", None), *((kind, f"width_ratio_{kind}") for kind in INTERVALS)]
        covers = [
            f"{line[f'coverage_{k}']:.3f} ({line[f'coverage_{k}_min']:.2f}), {line[f'below_{k}']}"
            + (f", {line[width]:.2f}" if width and line[width] is not None else "")
            if f"coverage_{k}" in line
            else "-"
            for k, width in kinds
        ]
        name = f"{line['split']} ({line['n_domain']})"
        figures = [f"{line['matched_ratio']:.2f} [{low}, {high}]", f"{line['worst']:.2f}", f"{line['size_matched_ratio']:.2f}"]
        rows.append(f"| {' | '.join([line['method'], name, classes, *figures, *covers])} |")
    return "\n".join(rows)
