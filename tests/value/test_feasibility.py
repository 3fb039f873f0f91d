"""The feasibility head: it avoids what fails, generalises by property, and says nothing where nothing failed."""

import jax
import numpy as np
import pytest

from matjax.value import Alloys, Context, Feasibility, Genetic

SPACE = Alloys("Al Co Cu Mg Ni Pb Zr", lattices="fcc bcc", n_site=10, min_elements=3, max_elements=4, max_count=5)
FEW = SPACE.decode(*SPACE.sample_uniform(80, jax.random.key(0)))
NEW = SPACE.decode(*SPACE.sample_uniform(300, jax.random.key(1)))


def fails(candidate) -> bool:
    """Lead loses its lattice on bcc."""
    return candidate.prototype == "bcc" and candidate.composition.get("Pb", 0) >= 0.2


def test_it_ranks_what_will_fail_below_what_will_not():
    head = Feasibility().fit(FEW, [not fails(c) for c in FEW])
    chance, bad = np.exp(head.log_probability(NEW)), np.array([fails(c) for c in NEW])
    auroc = (chance[~bad][:, None] > chance[bad][None]).mean()
    assert 5 < bad.sum() < 100 and auroc > 0.9 and (chance <= 1).all()


def test_an_element_that_was_never_tried_is_judged_by_what_it_is():
    without = [c for c in SPACE.decode(*SPACE.sample_uniform(200, jax.random.key(2))) if "Cu" not in c.elements]
    outcome = ["Ni" not in c.elements and "Co" not in c.elements for c in without]  # late transition metals fail
    head = Feasibility().fit(without, outcome)
    pair = SPACE.decode(np.zeros(2, int), np.array([[4, 0, 3, 3, 0, 0, 0], [4, 0, 0, 3, 0, 0, 3]]))  # Al-Cu-Mg and Al-Mg-Zr
    assert head.log_probability(pair)[0] < head.log_probability(pair)[1] - 0.1


def test_a_search_with_it_avoids_the_failing_region_and_one_without_does_not():
    tempting = lambda found: np.array([-1.0 + 0.6 * fails(c) for c in found])  # the reward is best where nothing can be measured
    head = Feasibility().fit(FEW, [not fails(c) for c in FEW])
    blind = lambda lattice, counts: tempting(SPACE.decode(lattice, counts))
    seeing = lambda lattice, counts: blind(lattice, counts) + head.log_probability(SPACE.decode(lattice, counts))
    lost = [
        np.mean([fails(c) for c in Genetic(n_generation=4).propose(30, Context(SPACE, reward), jax.random.key(3))])
        for reward in (blind, seeing)
    ]
    assert lost[0] > 0.9 and lost[1] < lost[0] / 3


def test_without_failures_it_says_nothing_and_one_is_chance():
    assert (Feasibility().fit(FEW, [True] * 80).log_probability(NEW) == 0).all()
    assert (Feasibility().fit(FEW, [False] + [True] * 79).log_probability(NEW) == 0).all()
    assert (Feasibility(fewest=1).fit(FEW, [False] + [True] * 79).log_probability(NEW) < 0).all()
    assert Feasibility().fit([], []).log_probability([]).shape == (0,)


def test_refusals():
    with pytest.raises(ValueError, match="outcomes"):
        Feasibility().fit(FEW, [True])
    with pytest.raises(ValueError, match="at least 1"):
        Feasibility(fewest=0)
