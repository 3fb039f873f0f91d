"""A campaign whose reward lies: the audit picks find out, the search is held back and stopped, and a resumed one comes to the same."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from matjax.campaign import discover, read_trace
from matjax.campaign.audit import audit
from matjax.campaign.held_back import HeldBack, audit_gaps, audit_state, eased, held_back, stricter
from matjax.campaign.records import read_records
from matjax.campaign.trace import open_read_only
from matjax.types import Candidate
from matjax.value import Brake, Entropic, LowerBound, Mean, Pessimism, Random, Thompson, ValueGuided, ValueLearner
from tests.campaign.tiny import Remembered, Ridges, Tiny, Unruly

AUDIT = Thompson(thompson=0.0, upper=0.0, audit=1.0)
QUICK = Brake(tolerance=0.05, alpha=0.3, most=2)


@dataclasses.dataclass(frozen=True, eq=False)
class Boastful(Ridges):
    """Promises everything; after a breach a little less."""

    factor: float = 1.0

    def reward(self, candidates: Sequence[Candidate]) -> np.ndarray:
        return np.full(len(candidates), 0.1 * np.log(self.factor))

    def stricter(self, factor: float) -> "Boastful":
        return dataclasses.replace(self, factor=factor)


@dataclasses.dataclass(frozen=True)
class Gamed(Tiny):
    """Its surrogate is boastful."""

    def learn(self, measured, **settings) -> Boastful:
        honest = super().learn(measured, **settings)
        return Boastful(honest.weights, honest.facts)


@pytest.fixture(scope="module")
def memory(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("memory"))


def run(problem: Any, memory: str, folder: Path, budget: int, brake: Brake = QUICK, oracle: Any = None):
    settings = {"batch": 4, "pool": 12, "run_dir": folder, "key": jax.random.key(0), "brake": brake}
    return discover(problem, oracle or Remembered(memory), Random(), AUDIT, budget=budget, **settings)


def test_a_reward_that_lies_is_held_back_then_stopped_and_a_resumed_campaign_comes_to_the_same(memory, tmp_path):
    whole = run(Gamed(), memory, tmp_path / "whole", 24)
    assert "caught out 2 times" in whole.reason and len(whole.rows) < 24
    factors = [r["brake"] for r in whole.rounds if "brake" in r]
    assert factors[0] == 1.0 and factors[-1] == 0.5 and factors == sorted(factors, reverse=True)
    promised = {r["round"]: r["predicted_reward"] for r in whole.rows}
    first = factors.index(0.5)
    assert promised[first - 1] == 0.0 and promised[first] == pytest.approx(0.1 * np.log(0.5)), "the reward is stricter after the breach"
    for budget in (4, 8, 24):
        parts = run(Gamed(), memory, tmp_path / "parts", budget)
    assert parts.rows == whole.rows and parts.reason == whole.reason
    checks = {c.name: c for c in audit(tmp_path / "whole", QUICK)}
    assert checks["audit picks"].passed is False and checks["best of n"].passed is False
    assert checks["audit picks"].facts["n_breach"] == 2 and len(checks["audit picks"].facts["rounds"]) == len(whole.rounds) - 1


def test_an_honest_reward_is_never_stopped(memory, tmp_path):
    honest = run(Tiny(), memory, tmp_path, 12)
    assert len(honest.rows) == 12 and {r["brake"] for r in honest.rounds if "brake" in r} == {1.0}
    assert [c.passed for c in audit(tmp_path, QUICK)] == [True, True]
    with open_read_only(tmp_path) as connection:
        records = read_records(connection)
    gaps = audit_gaps(records)
    rows = read_trace(tmp_path).rows
    assert [g for some in gaps for g in some] == pytest.approx([np.exp(r["predicted_reward"]) - r["utility"] for r in rows])
    assert audit_state(QUICK, records) == QUICK.state(gaps)


def test_what_could_not_be_measured_is_no_gap_and_lowers_the_chance_of_its_like(memory, tmp_path):
    oracle = Unruly(memory, str(tmp_path), (("Ag Cu", "transform", 1000),))
    trace = run(Tiny(), memory, tmp_path / "run", 16, oracle=oracle)
    failed = [row for row in trace.rows if row["status"] != "converged"]
    with open_read_only(tmp_path / "run") as connection:
        records = read_records(connection)
    assert len(failed) >= 2 and sum(map(len, audit_gaps(records))) == 16 - len(failed)
    surrogate = Tiny().learn(
        {r.candidate.key: r.measured for r in records if r.converged}, round=9, run_dir=tmp_path, key=jax.random.key(0)
    )
    guarded = held_back(surrogate, records, audit_state(QUICK, records))
    bad, good = (Candidate("fcc", (((a, 2), (b, 2)),)) for a, b in (("Ag", "Cu"), ("Au", "Ni")))
    chance = guarded.log_probability([bad, good])
    assert chance[0] < chance[1] - 0.2
    np.testing.assert_allclose(guarded.reward([bad, good]), surrogate.reward([bad, good]) + chance)
    np.testing.assert_array_equal(guarded.log_utility([bad]), surrogate.log_utility([bad]))
    assert isinstance(guarded, HeldBack) and guarded.facts == surrogate.facts


def test_easing_halves_a_budget_or_doubles_a_temperature():
    free, bound = ValueGuided(ValueLearner(tau=0.2)), ValueGuided(ValueLearner(tau=0.2, kl_budget=4.0))
    assert eased(free, 0.5).learner.tau == 0.4 and eased(free, 1.0) is free
    assert eased(bound, 0.25).learner.kl_budget == 1.0 and eased(bound, 0.25).learner.tau == 0.2
    assert eased(Random(), 0.5) == Random()


def test_stricter_means_more_pessimistic():
    samples = np.random.default_rng(0).normal(-3, 1, (5, 20))
    for certainty in (Entropic(1.0), LowerBound(1.0)):
        before, after = Pessimism(certainty), Pessimism(certainty).stricter(0.5)
        assert (after.reward(samples) < before.reward(samples)).all()
    assert Pessimism(Entropic(1.0)).stricter(0.5).certainty == Entropic(0.5) and Pessimism(Mean()).stricter(0.5) == Pessimism(Mean())
    assert stricter(samples, 0.5) is samples, "what has no way to be stricter stays as it is"
