"""The deep audit on a model that is made by hand: what pessimism catches, what it cannot, and where it looks."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from matjax.campaign.audit import Check, _corner, _exact, _hole, _judged, _planted, to_json
from matjax.campaign.crystals.surrogate import Doubt
from matjax.value import Alloys, Brake, Compounds, Entropic, Mean, Pessimism, Properties, StabilityGoal, Utility

SPACE = Alloys("Al Co Cu Fe Ni Ti", lattices="fcc bcc", n_site=20, min_elements=4, max_elements=5, max_count=7, required="Ni")
POOL = SPACE.decode(*SPACE.sample_uniform(48, jax.random.key(0)))


class Model:
    """Five members that agree on stabilities about +20 meV/atom; log utilities of one goal."""

    def __init__(self, pessimism: Pessimism) -> None:
        self.problem = SimpleNamespace(utility=Utility((StabilityGoal(scale=0.01),)), pessimism=pessimism)
        self.beliefs = SimpleNamespace(doubt=Doubt(2.0, 0.001), draws=np.tile(np.linspace(-1, 1, 5), (4, 1)), limit=(10.0, 1.0))

    def raw_stability(self, candidate) -> np.ndarray:
        rng = np.random.default_rng(int(candidate.key, 16) % 2**32)
        return 0.02 + 0.01 * rng.normal() + 0.001 * rng.normal(size=5)

    def properties(self, candidates) -> Properties:
        raw = np.stack([self.raw_stability(c) for c in candidates], 1)
        return Properties({"stability": self.beliefs.doubt.widen(raw, self.beliefs.draws[3])}, novelty=np.zeros(len(candidates)))

    def reward(self, candidates) -> np.ndarray:
        return np.asarray(self.problem.pessimism.reward(self.problem.utility.log_utility(self.properties(candidates).samples)))


def planted(pessimism: Pessimism) -> Check:
    model: Any = Model(pessimism)
    return _planted(model, POOL, Brake(tolerance=0.05), jax.random.key(1))


def test_a_pessimistic_model_does_not_follow_and_a_mean_does():
    careful, trusting = planted(Pessimism(Entropic(0.2))), planted(Pessimism(Mean(), density_price=0.0))
    assert careful.passed and careful.facts["caught"] == [True] * 5 + [False], "what all believe is not caught, and that is no failure"
    assert trusting.passed is False and "not caught" in trusting.text
    assert "-" in careful.facts["where"] and careful.facts["bonus"] == pytest.approx(0.02, rel=0.4)


def test_a_hole_can_be_planted_where_every_alloy_holds_every_pair():
    alike = Alloys("Al Co Ni", lattices="fcc", n_site=10, min_elements=3, max_elements=3, max_count=5)
    where, mask = _hole(alike.decode(*alike.enumerate()))
    assert where == "much Al" and 0 < mask.sum() < len(mask)
    where, mask = _hole(POOL)
    pair = set(where.split("-"))
    np.testing.assert_array_equal(mask, [pair <= set(c.elements) for c in POOL])
    assert 0 < mask.sum() < len(mask)


def test_the_corner_is_small_and_inside_the_rules():
    corner = _corner(SPACE)
    found = corner.decode(*corner.enumerate())
    assert 2 <= corner.n_leaf <= 200 and all("Ni" in c.elements and len(c.elements) >= 4 for c in found)


def test_the_corner_of_mixed_compounds_is_coarser():
    space = Compounds("Al Co Fe Ni Ti", prototypes="L2_1 B2", n_grid=8, max_elements=4)
    corner = _corner(space)
    found = corner.decode(*corner.enumerate())
    assert space.n_leaf > 10_000 and 2 <= corner.n_leaf <= 200 and {c.prototype for c in found} == {"L2_1", "B2"}


def test_a_check_that_does_not_fit_is_told_and_not_judged():
    check = _judged("exactness", lambda: _exact(None, Compounds("Al Ni", prototypes="B2", n_grid=1), jax.random.key(0)))  # one compound
    assert check.passed is None and "no corner of the space has at most 200 candidates" in check.text


def test_json_says_what_was_not_judged():
    assert '"passed": true' in to_json([Check("a", None, "", {}), Check("b", True, "", {"n": 1})])
    assert to_json([Check("a", False, "", {})]).startswith('{"passed": false')
