"""What a family of domains says of each method: degradation, worst domains, coverage. The domain counts once, whatever its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import numpy as np

from matjax.keys import child
from matjax.stress_test.metrics import bootstrap_ratio
from matjax.stress_test.paired import Domain, Row, domain_of, entry_of, families, shifted

SHORT = 0.05
"""A domain is under-covered where coverage is this much below the level."""


@dataclasses.dataclass(frozen=True)
class FamilySummary:
    """One method on one family of domains; seeds are averaged first. None where no row has the number.

    Attributes:
      family: The shift, or whatever the rows were grouped by.
      method: The method.
      information: What it saw of the new domain.
      n_domain: Domains with a row.
      mae_in: Geometric mean of the inside errors over domains: a matched ratio beside a large one is no robustness.
      mae_out: Of the outside errors.
      matched_ratio: Geometric mean of the matched ratios.
      matched_low: Lower end of its 95% interval over domains.
      matched_high: Upper end.
      matched_p90: 90th percentile of the matched ratios over domains.
      worst_domain: The domain of the largest matched ratio; of the largest outside error where none was matched.
      worst_ratio: Its matched ratio.
      coverage_out: Mean coverage outside of split conformal intervals.
      coverage_low: Coverage in the worst domain.
      share_short: Share of domains covered more than five points below the level.
      coverage_out_ldo: The same three of leave-domain-out intervals.
      coverage_low_ldo: In the worst domain.
      share_short_ldo: Share of domains below.
      width_ratio: Geometric mean of leave-domain-out width over split width.
      effective_robustness: Geometric mean over domains.
    """

    family: str
    method: str
    information: str
    n_domain: int
    mae_in: float | None
    mae_out: float | None
    matched_ratio: float | None
    matched_low: float | None
    matched_high: float | None
    matched_p90: float | None
    worst_domain: str
    worst_ratio: float | None
    coverage_out: float | None
    coverage_low: float | None
    share_short: float | None
    coverage_out_ldo: float | None
    coverage_low_ldo: float | None
    share_short_ldo: float | None
    width_ratio: float | None
    effective_robustness: float | None


def summarise(rows: Iterable[Row], *, by: str = "shift", key: jax.Array | None = None) -> tuple[FamilySummary, ...]:
    """One summary per family and method, families in the order of the rows.

    Args:
      rows: As in `stress_test.json`.
      by: Column that makes families: `shift`, or `certificate`.
      key: Of the bootstrap; `jax.random.key(0)` where left out.

    Raises:
      ValueError: If no row belongs to a shift.
    """
    held, key = shifted(rows), jax.random.key(0) if key is None else key
    found = []
    for family, domains in families(held, by).items():
        for entry in dict.fromkeys(map(entry_of, held)):
            mine = {d: [r for r in held if domain_of(r) == d and entry_of(r) == entry] for d in domains}
            mine = {d: of_domain for d, of_domain in mine.items() if of_domain}
            if mine:
                found.append(_summary(family, *entry, mine, child(key, family, *entry)))
    return tuple(found)


def _summary(family: str, method: str, information: str, rows: dict[Domain, list[Row]], key: jax.Array) -> FamilySummary:
    column = lambda name: _by_domain(rows, name)
    matched, level, outside = column("matched_ratio"), column("level"), column("mae_out")
    ratio = bootstrap_ratio(np.log(list(matched.values())), key=key) if matched else (None, None, None)
    ranked = matched or outside
    worst = max(ranked, key=lambda d: ranked[d]) if ranked else ("", "")
    split, ldo = column("coverage_out"), column("coverage_out_ldo")
    widths, wide = column("width"), column("width_ldo")
    return FamilySummary(
        family=family,
        method=method,
        information=information,
        n_domain=len(rows),
        mae_in=_geometric(list(column("mae_in").values())),
        mae_out=_geometric(list(outside.values())),
        matched_ratio=ratio[0],
        matched_low=ratio[1],
        matched_high=ratio[2],
        matched_p90=float(np.quantile(list(matched.values()), 0.9)) if matched else None,
        worst_domain=worst[1],
        worst_ratio=matched.get(worst),
        coverage_out=_mean(list(split.values())),
        coverage_low=min(split.values(), default=None),
        share_short=_mean([float(split[d] < level[d] - SHORT) for d in split if d in level]),
        coverage_out_ldo=_mean(list(ldo.values())),
        coverage_low_ldo=min(ldo.values(), default=None),
        share_short_ldo=_mean([float(ldo[d] < level[d] - SHORT) for d in ldo if d in level]),
        width_ratio=_geometric([wide[d] / widths[d] for d in wide if widths.get(d)]),
        effective_robustness=_geometric(list(column("effective_robustness").values())),
    )


def _by_domain(rows: dict[Domain, list[Row]], name: str) -> dict[Domain, float]:
    """Mean of a column over the seeds of each domain that has it."""
    known = {d: [float(r[name]) for r in of_domain if r.get(name) is not None] for d, of_domain in rows.items()}
    return {d: sum(values) / len(values) for d, values in known.items() if values}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _geometric(values: Sequence[float]) -> float | None:
    return float(np.exp(np.mean(np.log(values)))) if values and min(values) > 0 else None
