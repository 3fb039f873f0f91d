"""Every method against the reference, family by family, from the rows of a stress test: one table, a verdict in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from matjax.keys import child
from matjax.stress_test.metrics import bootstrap_ratio
from matjax.stress_test.paired import Domain, Entry, Row, entry_of, families, held_against, paired_rows, shifted
from matjax.stress_test.statistics import crossed_interval, detectable_effect, equivalence, fewest_domains, holm, wilcoxon

Errors = Callable[[Row], tuple[np.ndarray, np.ndarray, np.ndarray] | None]
"""A row's absolute errors outside [n], the ids of its crystals [n] and their chemical systems [n]; None where not kept."""

Pairs = Mapping[Domain, Sequence[tuple[Row, Row]]]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One method against the reference on one family of domains.

    Attributes:
      family: The shift, or whatever the rows were grouped by.
      method: The method.
      information: What it saw of the new domain: L0, L1, L2.
      reference: What it is compared with, and its level of information.
      n_domain: Domains that both have.
      n_seed: Fits per domain that both have, on average.
      ratio: exp(mean over domains of the log-ratio of their errors); below 1 the method is better.
      low: Lower end of its interval over domains (None for one domain).
      high: Upper end.
      p: Two-sided Wilcoxon signed-rank over domains; None for one domain.
      p_equivalent: Two one-sided tests of the margin; None for one domain.
      p_holm: `p`, adjusted for all comparisons of the table.
      p_equivalent_holm: `p_equivalent`, adjusted likewise.
      detectable: Relative difference that so many domains of this spread would show with 80% power.
      worst_domain: Where the method does worst against the reference.
      worst_ratio: Its ratio there.
      verdict: `better`, `worse`, `equivalent within 3%` or `undecided`.
      note: What limits the verdict, in words; empty where nothing does.
    """

    family: str
    method: str
    information: str
    reference: str
    n_domain: int
    n_seed: float
    ratio: float
    low: float | None
    high: float | None
    p: float | None
    p_equivalent: float | None
    p_holm: float | None
    p_equivalent_holm: float | None
    detectable: float | None
    worst_domain: str
    worst_ratio: float
    verdict: str = "undecided"
    note: str = ""


def compare_methods(
    rows: Iterable[Row],
    *,
    reference: str = "",
    metric: str = "mae_out",
    by: str = "shift",
    margin: float = 0.03,
    level: float = 0.95,
    n_draw: int = 10_000,
    errors: Errors | None = None,
    key: jax.Array | None = None,
) -> tuple[Comparison, ...]:
    """Compares every method with the reference on every family of domains.

    Seeds are paired and averaged first; a domain is then one number. A method is called better or worse where the
    signed-rank test rejects, adjusted by Holm for all comparisons of the table, *and* the interval excludes 1; equivalent
    where two one-sided tests, adjusted likewise, put the ratio within the margin, whichever sign it has. The random control
    takes no part; property tails shift the label itself and are not pooled with others.

    Args:
      rows: As in `stress_test.json`: `shift`, `domain`, `method`, `seed`, the metric, and `information` where it is not L0.
      reference: Method that the others are held against; the first of the rows where left out.
      metric: A positive column of which less is better: `mae_out`, `matched_ratio`, `aurc`, `interval_score_out`.
      by: Column that makes families: `shift`, or `certificate`.
      margin: Relative difference that counts as none.
      level: Of intervals and tests.
      n_draw: Bootstrap draws.
      errors: Gives the errors behind a row (`errors_in` of a run folder). With it, domains that share test crystals (elements)
        get intervals over domains and chemical systems; without it such intervals are too narrow, and the note says so.
      key: Of the bootstrap; `jax.random.key(0)` where left out.

    Returns:
      One comparison per method and family, and per method over all families where there are several.

    Raises:
      ValueError: If there are no rows, no reference, a metric that is not positive, or one row twice.
    """
    held = shifted(rows)
    entries = list(dict.fromkeys(map(entry_of, held)))
    groups, key, found = families(held, by), jax.random.key(0) if key is None else key, []
    for entry in entries:
        against = held_against(entry, reference or entries[0][0], entries)
        if against is None:
            continue
        paired = paired_rows(held, entry, against, metric)
        for family, domains in groups.items():
            if pairs := {d: paired[d] for d in domains if d in paired}:
                k_interval = child(key, metric, family, *entry)
                single = _compare(family, entry, against, pairs, metric, margin, level, n_draw, k_interval)
                found.append(_shared(single, pairs, errors, level, n_draw, k_interval) if metric == "mae_out" else single)
    return _judged(found, margin, level)


def errors_in(folder: Path | str) -> Errors:
    """The errors behind the rows of a run folder, from its predictions."""

    def of_row(row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        if not row.get("predictions"):
            return None
        with np.load(Path(folder) / row["predictions"]) as kept:
            error = np.abs(kept["outside_mean"] - kept["outside_target"])
            systems = np.array([bits.tobytes().hex() for bits in np.packbits(kept["outside_elements"], axis=1)])
            return error, kept["outside_index"].astype(str), systems

    return of_row


def markdown(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as a Markdown table."""
    lines = [
        "| family | method | against | domains | seeds | ratio [interval] | p (Holm) | detectable | worst domain | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for c in comparisons:
        interval = "" if c.low is None else f" [{c.low:.3f}, {c.high:.3f}]"
        p = "" if c.p_holm is None else f"{c.p_holm:.2g}"
        effect = "" if c.detectable is None else f"{c.detectable:.1%}"
        lines.append(
            f"| {c.family} | {c.method} ({c.information}) | {c.reference} | {c.n_domain} | {c.n_seed:g} | {c.ratio:.3f}{interval} | {p} "
            f"| {effect} | {c.worst_domain} {c.worst_ratio:.2f} | {c.verdict}{f' ({c.note})' if c.note else ''} |"
        )
    return "\n".join(lines)


def _compare(
    family: str, entry: Entry, against: Entry, pairs: Pairs, metric: str, margin: float, level: float, n_draw: int, key: jax.Array
) -> Comparison:
    """What one family says, before it is adjusted for the others."""
    by_domain = {domain: np.mean([math.log(a[metric] / b[metric]) for a, b in seeds]) for domain, seeds in pairs.items()}
    ratios, several = np.array(list(by_domain.values())), len(by_domain) > 1
    centre, low, high = bootstrap_ratio(ratios, level=level, n_draw=n_draw, key=key)
    worst = max(by_domain, key=lambda domain: by_domain[domain])
    return Comparison(
        family=family,
        method=entry[0],
        information=entry[1],
        reference=f"{against[0]} ({against[1]})",
        n_domain=len(ratios),
        n_seed=sum(map(len, pairs.values())) / len(ratios),
        ratio=centre,
        low=low,
        high=high,
        p=wilcoxon(ratios) if several else None,
        p_equivalent=equivalence(ratios, margin) if several else None,
        p_holm=None,
        p_equivalent_holm=None,
        detectable=math.expm1(detectable_effect(float(ratios.std(ddof=1)), len(ratios), level=level)) if several else None,
        worst_domain=worst[1],
        worst_ratio=math.exp(by_domain[worst]),
    )


def _shared(c: Comparison, pairs: Pairs, errors: Errors | None, level: float, n_draw: int, key: jax.Array) -> Comparison:
    """The interval over domains and chemical systems where the domains share test crystals."""
    if errors is None:
        shares = any(shift == "leave_element_out" for shift, _ in pairs) and c.n_domain > 1
        return dataclasses.replace(c, note="elements share crystals: the interval is too narrow") if shares else c
    units = [(domain, ours, theirs, errors(ours), errors(theirs)) for domain, seeds in pairs.items() for ours, theirs in seeds]
    if c.n_domain < 2 or any(mine is None or other is None for *_, mine, other in units):
        return c
    of_domain = {domain: mine[1] for domain, _, _, mine, _ in units if mine is not None}
    ids = np.concatenate([np.unique(names) for names in of_domain.values()])
    if len(np.unique(ids)) == len(ids):
        return c
    kept = [(str(d), f"{d} {i}", mine, other) for i, (d, _, _, mine, other) in enumerate(units) if mine is not None and other is not None]
    stack = lambda part: np.concatenate([part(*unit) for unit in kept])
    _, low, high = crossed_interval(
        error=stack(lambda d, u, mine, other: mine[0]),
        reference=stack(lambda d, u, mine, other: other[0]),
        unit=stack(lambda d, u, mine, other: np.full(len(mine[0]), u)),
        domain=stack(lambda d, u, mine, other: np.full(len(mine[0]), d)),
        cluster=stack(lambda d, u, mine, other: mine[2]),
        level=level,
        n_draw=n_draw,
        key=key,
    )
    return dataclasses.replace(c, low=low, high=high)


def _judged(found: Sequence[Comparison], margin: float, level: float) -> tuple[Comparison, ...]:
    """The same with p adjusted for all of them, and a verdict."""
    tested = [i for i, c in enumerate(found) if c.p is not None]
    p, p_equivalent = (holm(np.array([getattr(found[i], name) for i in tested], float)) for name in ("p", "p_equivalent"))
    place = {i: rank for rank, i in enumerate(tested)}
    return tuple(
        _verdict(c, float(p[place[i]]), float(p_equivalent[place[i]]), margin, level) if i in place else _single(c)
        for i, c in enumerate(found)
    )


def _single(c: Comparison) -> Comparison:
    return dataclasses.replace(c, note="one domain says nothing about others")


def _verdict(c: Comparison, p: float, p_equivalent: float, margin: float, level: float) -> Comparison:
    c, below = dataclasses.replace(c, p_holm=p, p_equivalent_holm=p_equivalent), 1 - level
    if p_equivalent < below:
        return dataclasses.replace(c, verdict=f"equivalent within {margin:.0%}")
    excludes = c.low is not None and c.high is not None and (c.high < 1 or c.low > 1)
    if p < below and excludes:
        return dataclasses.replace(c, verdict="better" if c.ratio < 1 else "worse")
    needed = fewest_domains(level)
    if c.n_domain < needed:
        few = f"{c.n_domain} domains cannot decide: the signed-rank test needs {needed}"
        return dataclasses.replace(c, note="; ".join(text for text in (few, c.note) if text))
    return c
