"""Selection inside the training domains: equal draws, strength zero in each, no test label, the domain really left out."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from matjax.data import LeaveElementOut, LeaveOut, Sizes
from matjax.stress_test import Candidates, CompositionRidge, Range, Search, StressTest, stress_test
from matjax.stress_test.search import inner_folds
from matjax.types import Dataset
from matjax.uncertainty.cross_fit import TooFewDomains
from tests.stress_test.ridge import LABEL, RidgeEnsemble

SIZES = Sizes(max_train=300, max_test=100)
STRENGTH = Range("strength", 1e-3, 1e3)


@pytest.fixture(scope="module")
def split(flla: Dataset):
    return next(LeaveOut("anion", only="nitride", sizes=SIZES)(flla, jax.random.key(0)))


@dataclasses.dataclass(frozen=True)
class Knobs:
    step: float = 0.1
    penalty: float = 5.0


def test_draws_are_as_many_alike_where_shared_and_first_switched_off():
    search = Search(draws=5, shared=(Range("step", 1e-3, 1e3),))
    own, key = Range("penalty", 1.0, 9.0, off=0.0, logarithmic=False), jax.random.key(0)
    plain, other = (Candidates(Knobs(), search, ranges).draws(key) for ranges in ((), (own,)))
    assert len(plain) == len(other) == 5
    assert plain[0] == {} and other[0] == {"penalty": 0.0}
    assert [d["step"] for d in plain[1:]] == [d["step"] for d in other[1:]]
    assert all(1e-3 <= d["step"] <= 1e3 for d in plain[1:]) and all(1 <= d["penalty"] <= 9 for d in other[1:])
    assert len(Candidates(Knobs(), Search(draws=5)).draws(key)) == 1  # nothing to draw: one candidate, not five alike


def test_ranges_are_uniform_in_the_logarithm():
    drawn = np.log10([STRENGTH.draw(jax.random.key(i)) for i in range(200)])
    assert abs(drawn.mean()) < 0.4 and drawn.std() == pytest.approx(6 / np.sqrt(12), rel=0.15)


def test_a_fold_leaves_its_domain_out_of_training_and_validation(split):
    folds = inner_folds(split.visible(), "anion", Search(folds=3), jax.random.key(1))
    assert len(folds) == 3
    tests = {c.key for part in (split.test_outside, split.test_inside) for c in part.crystals}
    for inner, held in folds:
        seen = {c.key for part in (inner.train, inner.validation) for c in part.crystals}
        assert not seen & {c.key for c in held.crystals} and not seen & tests
        assert {c.key for c in held.crystals} <= {c.key for c in split.train.crystals}
        assert inner.target.crystals == held.crystals and not inner.target.labels


def test_elements_are_left_out_of_every_crystal(flla: Dataset):
    split = next(LeaveElementOut("Fe", sizes=SIZES)(flla, jax.random.key(0)))
    for inner, held in inner_folds(split.visible(), "elements", Search(folds=3), jax.random.key(1)):
        common = set.intersection(*(set(c.numbers.tolist()) for c in held.crystals))
        assert any(not any(z in c.numbers for part in (inner.train, inner.validation) for c in part.crystals) for z in common)


def test_the_chosen_draw_is_the_best_one_and_the_chosen_learner_has_it(split):
    search = Search(draws=6, folds=2, shared=(STRENGTH,))
    found = Candidates(RidgeEnsemble(strength=1e5), search).choose(
        inner_folds(split.visible(), "anion", search, jax.random.key(1)), label=LABEL, key=jax.random.key(2)
    )
    assert found.scores[found.draw] == min(found.scores) and len(found.scores) == 6
    assert found.draw != 0 and found.learner.strength == found.settings["strength"]  # a strength of 1e5 learns nothing


def test_a_search_in_a_stress_test(flla: Dataset):
    """The searched method is no worse than the stiff one it started from, and the oracle no worse than it."""
    search = Search(draws=4, folds=2, shared=(STRENGTH,))
    methods = {
        "stiff": RidgeEnsemble(strength=1e5),
        "searched": Candidates(RidgeEnsemble(strength=1e5), search),
        "oracle": Candidates(RidgeEnsemble(strength=1e5), search, oracle=True),
    }
    shifts = [LeaveOut("anion", only="nitride", sizes=SIZES)]
    settings = StressTest(baseline=CompositionRidge(), matched=3, leave_domain_out=0)
    events: list[dict] = []
    report = stress_test(methods, flla, shifts, settings=settings, report=events.append, key=jax.random.key(0))
    rows = {row["method"]: row for row in report.rows}
    assert rows["searched"]["selection"] == "leave-one-domain-out, 4 draws" and rows["oracle"]["selection"] == "oracle"
    assert rows["stiff"]["chosen"] == {} and set(rows["searched"]["chosen"]) <= {"strength"}
    assert rows["oracle"]["mae_out"] <= rows["searched"]["mae_out"] < rows["stiff"]["mae_out"]
    assert sum(e["event"] == "epoch" for e in events) == 3 * 2 + 4 * 2 + 4


def test_errors_teach(split):
    with pytest.raises(ValueError, match="did you mean 'strength'"):
        Candidates(RidgeEnsemble(), Search(shared=(Range("strenght", 0.1, 1.0),)))
    with pytest.raises(ValueError, match="0 < low < high"):
        Range("strength", 0.0, 1.0)
    with pytest.raises(ValueError, match="1 draws choose nothing"):
        Search(draws=1)
    with pytest.raises(ValueError, match="allowed: leave-one-domain-out, validation"):
        Search(select="test")
    oxides = next(LeaveOut("anion", only="nitride", sizes=SIZES)(_oxides_and(split), jax.random.key(0)))
    with pytest.raises(TooFewDomains, match='select = "validation"'):
        inner_folds(oxides.visible(), "anion", Search(), jax.random.key(0))


def _oxides_and(split) -> Dataset:
    from matjax.data import domain_labels, load

    data = load("flla")
    return data.select(np.flatnonzero(np.isin(domain_labels(data, "anion"), ["oxide", "nitride"])))
