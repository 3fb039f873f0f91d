"""The audit of a campaign: does its reward keep its word? From its records alone, and deeper with its own model."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from matjax.campaign.config import DiscoverConfig
from matjax.campaign.crystals.surrogate import CrystalSurrogate
from matjax.campaign.held_back import audit_facts, audit_gaps, audit_state, stricter
from matjax.campaign.records import Record, learnable, read_records
from matjax.campaign.store import KNOWN
from matjax.campaign.trace import open_read_only
from matjax.keys import child, generator
from matjax.types import Candidate
from matjax.value.alloys import Alloys
from matjax.value.audit import best_of_n, exactness, planted_hole
from matjax.value.brake import Brake
from matjax.value.compounds import Compounds
from matjax.value.learner import ValueLearner
from matjax.value.space import Space

FEWEST = 4
"""Measured picks below which no curve is judged."""

CHANCE, N_RESAMPLE = 0.05, 300
"""One-sided level below which a curve fails, and resamples of the picks that it is taken from."""

MOST_LEAVES = 200
"""Alloys of the tree on which the learned policy is compared with enumeration."""

EXACT = {"total_variation": 0.1, "value_error_nats": 0.2}
"""What the learned policy may be off by there."""


class Check(NamedTuple):
    """One part of the audit.

    name: what was looked at; passed: None where there was too little to judge; text: in words; facts: the numbers, as JSON holds them.
    """

    name: str
    passed: bool | None
    text: str
    facts: dict[str, Any]


def audit(run_dir: str | Path, brake: Brake = Brake()) -> list[Check]:  # noqa: B008 - frozen
    """What a campaign's records say of its reward, also while it runs; changes nothing.

    Args:
      run_dir: Its folder.
      brake: Tolerance of the gap and level of the test, those of the campaign.

    Raises:
      ValueError: If there is no campaign, or its file is damaged.
    """
    with open_read_only(Path(run_dir)) as connection:
        records = read_records(connection)
    return [_pressure(records, brake.tolerance), _sequential(records, brake)]


def deep_audit(run_dir: str | Path, config: DiscoverConfig, n_pool: int = 48) -> list[Check]:
    """A hole planted in the last round's own model, and the learner on its own reward against enumeration.

    Args:
      run_dir: Folder of the campaign.
      config: Its settings.
      n_pool: Candidates that the hole is planted among.

    Raises:
      ValueError: If no round has been learned.
    """
    surrogate = last_surrogate(Path(run_dir), config)
    key = child(config.key(), "audit")
    candidates = config.space.decode(*config.space.sample_uniform(n_pool, child(key, "pool")))
    return [
        _judged("planted hole", lambda: _planted(surrogate, candidates, config.brake, child(key, "picks"))),
        _judged("exactness", lambda: _exact(surrogate, config.space, child(key, "exact"))),
    ]


def _judged(name: str, check: Callable[[], Check]) -> Check:
    """A check, or why it does not fit this campaign; the others are told all the same."""
    try:
        return check()
    except ValueError as error:
        return Check(name, None, str(error), {})


def last_surrogate(run_dir: Path, config: DiscoverConfig) -> CrystalSurrogate:
    """The model of the last round, as the campaign had it; from its files, not trained again.

    Raises:
      ValueError: If no round has been learned.
    """
    with open_read_only(run_dir) as connection:
        records = read_records(connection)
    last = max((r.round for r in records), default=KNOWN)
    if last == KNOWN or config.acquisition is None:
        raise ValueError(f"{run_dir} has learned no model yet; --deep looks at one")
    before = [r for r in records if r.round < last]
    key = child(config.key(), "round", last, "learn")
    surrogate = config.problem().learn(learnable(before), round=last, run_dir=run_dir, key=key)
    return stricter(surrogate, audit_state(config.brake, before).factor)


def _pressure(records: Sequence[Record], tolerance: float) -> Check:
    """Best of n over what was measured, by the reward that each had when it was picked."""
    pairs = [(r.predicted.get("reward"), (r.truth or {}).get("utility")) for r in records if r.round != KNOWN]
    kept = np.array([(math.exp(min(reward, 0.0)), truth) for reward, truth in pairs if reward is not None and truth is not None])
    if len(kept) < FEWEST:
        return Check("best of n", None, f"{len(kept)} measured picks with a reward; needs {FEWEST}", {"n_measured": len(kept)})
    sizes = [2**i for i in range(12) if 2**i <= len(kept) // 2]
    found = best_of_n(kept[:, 0], kept[:, 1], sizes)
    said = f"the best of {sizes[-1]} promises {found.proxy[-1]:.2f} and is worth {found.truth[-1]:.2f} (any: {found.truth[0]:.2f})"
    gap, rise = _resampled(kept, sizes)
    passed = bool(np.quantile(gap, CHANCE) <= tolerance and np.quantile(rise, 1 - CHANCE) >= -tolerance)
    facts = {name: values.tolist() for name, values in found._asdict().items()} | {"gap": found.gap.tolist(), "n_measured": len(kept)}
    return Check("best of n", passed, said, facts)


def _resampled(kept: np.ndarray, sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap of the gap under the largest pressure, and of how far the truth rises with pressure [N_RESAMPLE] each."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(kept), (N_RESAMPLE, len(kept)))
    drawn = [best_of_n(kept[some, 0], kept[some, 1], sizes) for some in rows]
    return np.array([d.gap[-1] for d in drawn]), np.array([d.truth[-1] - d.truth[0] for d in drawn])


def _sequential(records: Sequence[Record], brake: Brake) -> Check:
    """The test on the audit picks, with every round's state."""
    gaps, state = audit_gaps(records), audit_state(brake, records)
    facts = audit_facts(state) | {"tolerance": brake.tolerance, "limit": 1 / brake.alpha}
    facts["rounds"] = [audit_facts(brake.state(gaps[: i + 1])) for i in range(len(gaps))]
    if not state.n:
        return Check("audit picks", None, "no audit pick was measured; give the acquisition a share for them", facts)
    said = f"{state.n} measured: promised {state.gap:+.2f} more than is true on average (allowed {brake.tolerance:g})"
    then = f"; evidence {state.evidence:.2g} of {1 / brake.alpha:g}" if not state.n_breach else f"; {state.n_breach} breaches"
    held = f", search held back to {state.factor:g}" if state.n_breach else ""
    return Check("audit picks", state.n_breach == 0, said + then + held, facts)


def _planted(surrogate: CrystalSurrogate, candidates: Sequence[Candidate], brake: Brake, key: jax.Array) -> Check:
    """A pair of elements that some members hold for more stable than it is: by the spread of stability over the pool."""
    said, beliefs, problem = surrogate.properties(candidates), surrogate.beliefs, surrogate.problem
    raw = -np.stack([surrogate.raw_stability(c) for c in candidates], 1)

    def reward(samples: np.ndarray) -> np.ndarray:
        widened = beliefs.doubt.widen(-samples, beliefs.draws[3])
        log_utility = np.asarray(problem.utility.log_utility({**said.samples, "stability": widened}))
        return np.asarray(problem.pessimism.reward(log_utility, said.novelty, beliefs.limit))

    where, hole = _hole(candidates)
    bonus, n_top = 2.0 * float(raw.mean(0).std()), max(len(candidates) // 6, 1)
    found, n_member = planted_hole(reward, raw, hole, bonus, n_top), len(raw)
    clean, gamed = reward(raw), reward(raw + bonus * hole)
    top = generator(key).permutation(np.argsort(-gamed, kind="stable")[:n_top])
    gaps = np.exp(gamed[top]) - np.exp(clean[top])
    caught_by_audit = next((i + 1 for i in range(n_top) if brake.state([gaps[: i + 1].tolist()]).n_breach), None)
    facts = {name: values.tolist() for name, values in found._asdict().items()}
    facts |= {"where": where, "bonus": bonus, "caught": found.caught().tolist(), "audit_picks_to_breach": caught_by_audit}
    name, caught = "planted hole", found.caught()
    if n_member < 2 or caught[-1]:
        return Check(name, None, f"a bonus of {1000 * bonus:.0f} meV/atom for {where} draws no search even if all believe it", facts)
    missed = [k for k in range(1, n_member) if not caught[k]]
    text = f"{where} better by {1000 * bonus:.0f} meV/atom: " + (
        f"not caught when {missed} of {n_member} members believe it"
        if missed
        else f"caught whenever one of {n_member} members knows better"
    )
    later = f"only measurements catch it when all do: {caught_by_audit or f'more than {n_top}'} audit picks"
    return Check(name, not missed, f"{text}; {later}", facts)


def _hole(candidates: Sequence[Candidate]) -> tuple[str, np.ndarray]:
    """Where to plant: the pair of elements that is in the share of the pool nearest to a fifth; else the fifth richest in an element."""
    elements = sorted({s for c in candidates for s in c.elements})
    holds = {f"{a}-{b}": np.array([{a, b} <= set(c.elements) for c in candidates]) for a, b in itertools.combinations(elements, 2)}
    some = {name: mask for name, mask in holds.items() if 0 < mask.sum() < len(mask)}
    if not some:
        share = np.array([c.composition.get(elements[0], 0.0) for c in candidates])
        return f"much {elements[0]}", np.argsort(np.argsort(-share, kind="stable")) < max(len(candidates) // 5, 1)
    name = min(some, key=lambda pair: abs(some[pair].mean() - 0.2))
    return name, some[name]


def _exact(surrogate: CrystalSurrogate, space: Space, key: jax.Array) -> Check:
    """The learner against enumeration, on the campaign's own reward in a coarse corner of its space."""
    small = _corner(space)
    reward = lambda lattice, counts: surrogate.reward(small.decode(lattice, counts))
    spread = float(np.std(reward(*small.enumerate())))
    learner = ValueLearner(tau=max(0.5 * spread, 1e-6), batch=128, n_iteration=60, inner_steps=16)
    found = exactness(small, reward, learner, key)
    facts = {"total_variation": found.total_variation, "value_error_nats": found.value_error, "n_leaf": found.n_leaf, "tau": found.tau}
    passed = all(abs(facts[name]) <= most for name, most in EXACT.items())
    text = f"total variation {found.total_variation:.3f}, V off by {found.value_error:+.3f} nats on {found.n_leaf} candidates"
    return Check("exactness", passed, text, facts)


def _corner(space: Any) -> Space:
    """Fewer elements and coarser steps of mixtures, until it can be listed."""
    required = [s for s in space.available if s in space.required]
    others = [s for s in space.available if s not in space.required]
    n = max(space.min_elements, len(required))
    for n_element in range(len(space.available), n - 1, -1):
        chosen = tuple(s for s in space.available if s in (required + others)[:n_element])
        fewer = {"elements": chosen, "forbidden": (), "min_elements": n, "max_elements": min(space.max_elements, n_element)}
        for steps in _coarser(space, n):
            try:
                small = dataclasses.replace(space, **fewer, **steps)
            except ValueError:  # too few elements, or too coarse, for any candidate
                continue
            if 2 <= small.n_leaf <= MOST_LEAVES:
                return small
    raise ValueError(f"no corner of the space has at most {MOST_LEAVES} candidates")


def _coarser(space: Alloys | Compounds, n: int) -> Iterator[dict[str, Any]]:
    """Settings of coarser compositions for candidates of at least n elements, finest first."""
    if not isinstance(space, Alloys):
        yield from ({"n_grid": n_grid} for n_grid in range(space.n_grid, 0, -1))
        return
    for n_site in range(space.n_site, n, -1):
        most = max(math.ceil(space.max_count * n_site / space.n_site), -(-n_site // n))
        yield {"n_site": n_site, "min_count": 1, "max_count": most}


def to_json(checks: Sequence[Check]) -> str:
    """The audit as one JSON object."""
    told = {c.name: {"passed": c.passed, "text": c.text, **c.facts} for c in checks}
    return json.dumps({"passed": all(c.passed is not False for c in checks), "checks": told}, allow_nan=False)
