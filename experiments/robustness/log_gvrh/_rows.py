"""From predictions to rows: errors inside and outside on the same crystals, and what intervals cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from _folds import Domain
from _store import Store

from matjax.uncertainty import ErrorScale, LeaveDomainOut, SplitConformal

FEWEST_INNER = 3  # domains that a scale can be chosen on
PARTS = ("distance", "local_error")
INTERVALS = ("ldo", "constant", "bound")


def inside_errors(store: Store, target: np.ndarray, folds: list[np.ndarray], shares: tuple[float, ...]) -> dict[float, np.ndarray]:
    """Cross-validated errors [n] of every crystal, by the share of all crystals that was trained on."""
    errors = {}
    for share in shares:
        errors[share] = np.full(len(target), np.nan)
        for fold, test in enumerate(folds):
            errors[share][test] = store[f"reference|{share:g}|{fold}"][test] - target[test]
    return errors


def at_size(errors: dict[float, np.ndarray], test: np.ndarray, share: float) -> float:
    """Mean absolute error inside on these crystals, had as many been trained on as outside: linear in the logarithm of the size."""
    shares = sorted(errors)
    values = [np.abs(errors[s][test]).mean() for s in shares]
    return float(np.interp(np.log(share), np.log(shares), values))


def row_of(
    domain: Domain, errors: Mapping[str, np.ndarray], inside: dict[float, np.ndarray], certificate: Mapping[str, Any], level: float
) -> dict[str, Any]:
    """The row of a domain.

    Args:
      domain: What is held out.
      errors: Of its family (`family_errors`).
      inside: Cross-validated errors [n] by share.
      certificate: Columns of its certificate.
      level: Wanted coverage.
    """
    mine = {name: column[errors["outer"] == domain.name] for name, column in errors.items()}
    outside, kept = mine["inner"] == domain.name, mine["inner"] == "calibration"
    out, error_in = mine["error"][outside].astype(np.float64), mine["error"][kept]
    n, full = len(next(iter(inside.values()))), max(inside)
    mae, mae_matched = float(np.abs(out).mean()), float(np.abs(inside[full][domain.test]).mean())
    split = float(SplitConformal(level).fit(error_in).half_width(np.ones(1))[0])
    row = {
        "split": domain.split,
        "domain": domain.name,
        **certificate,
        "n_train": len(domain.train),
        "n_test": len(out),
        "mae": mae,
        "mae_in": float(np.abs(error_in).mean()),
        "bias": float(out.mean()),
        "mae_matched": mae_matched,
        "matched_ratio": mae / mae_matched,
        "size_matched_ratio": mae / at_size(inside, domain.test, len(domain.train) / n),
        "coverage_split": float((np.abs(out) <= split).mean()),
        "width_split": 2 * split,
    }
    inner = {name: column[~outside & ~kept] for name, column in mine.items()}
    return row | _intervals({name: column[outside] for name, column in mine.items()}, inner, split, level)


def _intervals(outside: Mapping[str, np.ndarray], inner: Mapping[str, np.ndarray], split: float, level: float) -> dict[str, Any]:
    """Columns of the leave-domain-out intervals; None where there are too few inner domains.

    `ldo`: scaled by powers of distance and local error that are chosen on the inner domains, bound "asymptotic"; `constant`: the same
    without a scale; `bound`: without a scale, and with the promise of at least the level for a new domain (bound "marginal").
    """
    n_inner = len(np.unique(inner["inner"]))
    if n_inner < FEWEST_INNER:
        return dict.fromkeys((*(f"coverage_{k}" for k in INTERVALS), *(f"width_ratio_{k}" for k in INTERVALS), "width_ratio", "abstained"))
    parts = [{name: side[name] for name in PARTS} for side in (inner, outside)]
    chosen = ErrorScale(level).fit(inner["error"], inner["inner"], parts[0])
    scaled, plain = [chosen.scale(part) for part in parts], [np.ones(len(side["error"])) for side in (inner, outside)]
    found: dict[str, Any] = {"n_inner": n_inner, "powers": dict(chosen.powers)}
    for kind in INTERVALS:
        rule = LeaveDomainOut(level, bound="marginal" if kind == "bound" else "asymptotic")
        scale_inner, scale_outside = scaled if kind == "ldo" else plain
        half = rule.fit(inner["error"], inner["inner"], scale_inner).half_width(scale_outside)
        answered = np.isfinite(half)
        found[f"coverage_{kind}"] = float((np.abs(outside["error"]) <= half).mean())
        found[f"width_ratio_{kind}"] = float(half[answered].mean() / split) if answered.any() else None
        if kind == "ldo":
            found |= {"width_ratio": found["width_ratio_ldo"], "abstained": float(1 - answered.mean())}
    return found
