"""What a campaign found, in plain sentences computed from its numbers, and what a reader must be warned of."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from matjax.report.discovery import LEARNED, LEVEL, Discovery, best_so_far
from matjax.report.run import Row
from matjax.report.words import number, percent

CHANCE = 0.05
"""Two-sided probability below which a difference between seeds is not called chance."""


def milli(value: float) -> str:
    """An energy in eV as meV with its sign, one decimal below 10 meV: `−34`, `+2.5`."""
    text = f"{1000 * value:+.{1 if abs(value) < 0.00995 else 0}f}"
    return text.replace("-", "−")


def formula(row: Mapping[str, Any]) -> str:
    """What a reader calls a candidate: lattice and atomic percent."""
    share = row.get("composition") or {}
    text = " ".join(f"{symbol}{100 * value:.4g}" for symbol, value in share.items())
    return f"{row.get('prototype') or ''} {text}".strip() or str(row.get("candidate") or "a candidate without a name")


def verdict(discovery: Discovery) -> list[str]:
    """Sentences on where the results hold, the best alloy, the rival proposers, the proxy under pressure and the intervals.

    What the record does not hold is left out, never guessed.
    """
    parts = (
        _world(discovery),
        _best(discovery),
        _found(discovery),
        *_rivals(discovery),
        _pressure(discovery),
        _audit(discovery),
        _intervals(discovery),
    )
    return [sentence for sentence in parts if sentence]


def notices(discovery: Discovery) -> list[str]:
    """What stands in red: a campaign without its record, and one in which nothing converged."""
    found = []
    if not discovery.finished:
        found.append(
            f"Interrupted: there is a trace of {_calls(len(discovery.calls))} but no discovery.json, so this page shows the trace alone. "
            "Go on with `matjax campaign resume`."
        )
    if discovery.calls and not discovery.measured:
        found.append(f"No calculation of {_calls(len(discovery.calls))} converged: nothing was found, and nothing below is a result.")
    return found


def _calls(n: int) -> str:
    return f"{n} oracle call" if n == 1 else f"{n} oracle calls"


def ranking(discovery: Discovery) -> tuple[Row, ...]:
    """The best candidates of the record; without it the ten measured ones of highest true utility, as they were predicted."""
    rows = sorted(discovery.measured, key=lambda row: -row["utility"])[:10]
    ends = {f"{of}{end}": f"predicted_{name}_{end}" for of, name in (("", "stability"), ("utility_", "utility")) for end in ("low", "high")}
    return discovery.best or tuple({**row, **{name: row.get(field) for name, field in ends.items()}} for row in rows)


def _world(discovery: Discovery) -> str:
    oracle = discovery.oracle
    name = " ".join(str(oracle[field]) for field in ("name", "version") if oracle.get(field))
    note = re.sub(r"^(a )?model system\W*", "", str(oracle.get("note") or "").strip(), flags=re.IGNORECASE).rstrip(".")
    kind = "a model system" if discovery.world == "model system" else ""
    told = ", ".join(text for text in (name, kind) if text) or "an oracle"
    return f"Measured by {told}{f': {note}' if note else ''}." if oracle else "Which oracle measured was not recorded."


def _best(discovery: Discovery) -> str:
    best = next(iter(ranking(discovery)), None)
    if best is None:
        return f"No {discovery.thing} was found."
    facts = [f"true utility {number(best['utility'])}"] if best.get("utility") is not None else []
    if best.get("stability") is not None:
        low, high, temperature = best.get("low"), best.get("high"), discovery.info.get("temperature")
        interval = (
            f" ({percent(LEVEL)} interval {milli(low)} to {milli(high)}, relative to the oracle)"
            if low is not None and high is not None
            else ""
        )
        at = f" at {temperature:.0f} K" if isinstance(temperature, (int, float)) else ""
        side = "below" if best["stability"] < 0 else "above"
        facts.append(f"stability {milli(best['stability'])} meV/atom{at}, {side} every mixture of the other phases considered{interval}")
    if best.get("pugh_ratio") is not None:
        facts.append(f"Pugh ratio {best['pugh_ratio']:.2f}")
    return f"The best {discovery.thing} found is {formula(best)}{': ' if facts else ''}{'; '.join(facts)}."


def _found(discovery: Discovery) -> str:
    known = [row for row in discovery.measured if row.get("stability") is not None]
    if not known:
        return ""
    resists = lambda row: row.get("born") is None or row["born"] > 0
    n, failed = sum(row["stability"] < 0 and resists(row) for row in known), len(discovery.failed)
    lost = f"; {failed} gave no answer" if failed else ""
    return f"Of {_calls(len(discovery.calls))}, {n or 'none'} found {_article(discovery.thing)} that is stable{lost}."


def _article(thing: str) -> str:
    return f"an {thing}" if thing[0] in "aeiou" else f"a {thing}"


def _rivals(discovery: Discovery) -> list[str]:
    """Whether the value learner did better than each rival with as many oracle calls: by how much, and whether seeds can tell."""
    ours = discovery.of(LEARNED)
    rivals = [name for name in discovery.proposers if name != LEARNED and discovery.of(name)]
    if not ours or not rivals:
        return ["Value learning was not compared with another proposer."] if ours and discovery.finished else []
    return [f"With {_calls(discovery.budget)} each: " + "; ".join(_against(discovery, name) for name in rivals) + "."]


def _against(discovery: Discovery, rival: str) -> str:
    budget = discovery.budget
    ours, theirs = (best_so_far(discovery.of(name))[:, :budget] for name in (LEARNED, rival))
    a, b = float(np.median(ours[:, -1])), float(np.median(theirs[:, -1]))
    chance = (
        float(mannwhitneyu(ours[:, -1], theirs[:, -1], method="exact" if _distinct(ours, theirs) else "asymptotic").pvalue)
        if a != b
        else 1.0
    )
    seeds = f"{len(ours)} seed" + "s" * (len(ours) > 1) if len(ours) == len(theirs) else f"{len(ours)} and {len(theirs)} seeds"
    scores = f"{number(a)} against {number(b)}, median of {seeds}"
    certain = chance < CHANCE
    if a > b:
        reached = np.flatnonzero(np.median(ours, axis=0) >= b)
        sooner = f", whose final value it had after {int(reached[0]) + 1} calls"
        return f"value learning {'beat' if certain else 'came out ahead of'} {rival} ({scores}, p = {chance:.2g}{_doubt(certain)}){sooner}"
    if a == b:
        return f"value learning did not beat {rival} ({scores})"
    return f"value learning did not beat {rival}: it came out behind ({scores}, p = {chance:.2g}{_doubt(certain)})"


def _doubt(certain: bool) -> str:
    return "" if certain else ": chance is not ruled out"


def _distinct(ours: np.ndarray, theirs: np.ndarray) -> bool:
    final = np.concatenate([ours[:, -1], theirs[:, -1]])
    return len(np.unique(final)) == len(final)


def _pressure(discovery: Discovery) -> str:
    rows = [row for row in discovery.pressure if row.get("proxy") is not None and row.get("truth") is not None]
    if not rows:
        return ""
    last, peak = rows[-1], max(rows, key=lambda row: row["truth"])
    single = last.get("proxy_single"), last.get("truth_single")
    beside = (
        f" (a single model promises {number(single[0])} and is worth {number(single[1])})"
        if single[0] is not None and single[1] is not None
        else ""
    )
    fall = "" if peak is last else f"; the truth was highest, {number(peak['truth'])}, at best of {peak['n']:,.0f}"
    promise, worth = number(last["proxy"]), number(last["truth"])
    return f"The best of {last['n']:,.0f} by the pessimistic proxy promises {promise} and is worth {worth}{beside}{fall}."


def _audit(discovery: Discovery) -> str:
    """What the picks made at random say of the reward, and what was done about it."""
    told = discovery.info.get("audit")
    if not isinstance(told, Mapping) or not told.get("n_audit") or told.get("audit_gap") is None:
        return ""
    n, gap, n_breach = told["n_audit"], told["audit_gap"], told.get("n_breach") or 0
    side = "more" if gap > 0 else "less"
    acted = f"; it was caught out {n_breach} times, and the search was held back to {told['brake']:g}" if n_breach else "; no breach"
    picks = "pick made at random" if n == 1 else "picks made at random"
    return f"Over {n} {picks} the reward promised {number(abs(gap))} {side} utility than was true{acted}."


def _intervals(discovery: Discovery) -> str:
    """Over rounds, how often new measurements fell into intervals given before they were learned from."""
    covered = [row["coverage_90"] for row in discovery.rounds if row.get("coverage_90") is not None]
    error = [row["mae_stability"] for row in discovery.rounds if row.get("mae_stability") is not None]
    if not covered:
        return ""
    trend = (
        f", with a mean error of {1000 * error[0]:.0f} meV/atom in the first round and {1000 * error[-1]:.0f} in the last"
        if len(error) > 1
        else ""
    )
    share = percent(statistics.fmean(covered))
    return f"Before they were learned from, {share} of new stabilities fell into their {percent(LEVEL)} intervals{trend}."
