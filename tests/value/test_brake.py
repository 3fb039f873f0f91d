"""The brake: a sequential test that keeps its level, finds what is there, and depends on nothing but the gaps."""

import numpy as np
import pytest

from matjax.value import Brake


@pytest.mark.parametrize("draw", [lambda r, n: np.full(n, 0.1), lambda r, n: np.where(r.random(n) < 0.55, 1.0, -1.0)], ids=["sure", "wild"])
def test_a_gap_at_the_tolerance_is_rarely_called_a_breach_however_long_one_looks(draw):
    rng, brake = np.random.default_rng(0), Brake(tolerance=0.1, alpha=0.1)
    false = [brake.state([[g] for g in draw(rng, 100)]).n_breach > 0 for _ in range(150)]
    assert np.mean(false) <= 0.1 + 0.05


def test_a_large_gap_is_found_soon_and_a_small_one_never():
    assert Brake().state([[0.8]] * 8).n_breach == 1
    assert Brake().state([[0.05]] * 500).n_breach == 0
    late = Brake().state([[0.0]] * 30 + [[0.7]] * 25)
    assert late.n_breach >= 1, "the past does not hide what has changed"


def test_every_breach_halves_and_the_third_stops():
    states = [Brake().state([[0.9] * 8] * n) for n in range(5)]
    assert [s.n_breach for s in states] == [0, 1, 2, 3, 4] and [s.factor for s in states[:3]] == [1.0, 0.5, 0.25]
    assert [s.stopped for s in states] == [False, False, False, True, True]
    assert states[0].evidence == 1.0 and np.isnan(states[0].gap) and states[2].gap == pytest.approx(0.9) and states[2].n == 16


def test_rounds_are_taken_as_they_are_stored():
    gaps = np.random.default_rng(0).uniform(-0.5, 1, (6, 3)).tolist()
    assert Brake().state(gaps) == Brake().state([*gaps, []])
    shuffled = [row[::-1] for row in gaps]
    assert Brake().state(shuffled).evidence == pytest.approx(Brake().state(gaps).evidence), "the order within a round says nothing"


def test_refusals():
    for wrong in (np.nan, 1.5):
        with pytest.raises(ValueError, match=r"\[-1, 1\]"):
            Brake().state([[wrong]])
    with pytest.raises(ValueError, match="at least 1"):
        Brake(most=0)
    with pytest.raises(ValueError, match="tolerance"):
        Brake(tolerance=1.0)
