"""Variation stays inside the space, and changes what it says it changes."""

import numpy as np

from matjax.value import Alloys
from matjax.value.mutation import cross, mutate, repair
from tests.value.alloys import SMALL, trajectories

BOUNDED = Alloys("Cu Ag Au Ni Pd", n_site=10, min_elements=3, max_elements=4, min_count=2, max_count=4, required="Ni")


def test_repair_keeps_alloys_and_mends_the_rest():
    for space in (SMALL, BOUNDED):
        alloys = trajectories(space)
        np.testing.assert_array_equal(repair(space, alloys), alloys)
        mended = repair(space, np.random.default_rng(0).integers(-3, 12, (500, space.tree.n_step)))
        assert space.is_legal(mended[:, 0], mended[:, 1:]).all()


def test_children_are_alloys_that_differ_a_little():
    rng = np.random.default_rng(0)
    for space in (SMALL, BOUNDED):
        alloys = trajectories(space)
        parents = alloys[rng.integers(0, len(alloys), 1000)]
        children = mutate(space, parents, rng)
        assert space.is_legal(children[:, 0], children[:, 1:]).all()
        assert (children != parents).any(1).mean() > 0.6
        assert (children[:, 0] != parents[:, 0]).any()
        assert len(np.unique(children, axis=0)) > 0.2 * min(space.n_leaf, 1000)


def test_every_alloy_can_be_reached_by_mutation():
    """From one alloy, mutations of mutations come to all of a small space."""
    rng, alloys = np.random.default_rng(0), trajectories(SMALL)
    found = alloys[:1]
    for _ in range(60):
        found = np.unique(np.concatenate([found, mutate(SMALL, np.repeat(found, 4, 0), rng)]), axis=0)
    assert len(found) == SMALL.n_leaf


def test_crossing_equal_parents_changes_nothing():
    alloys = trajectories(BOUNDED)
    np.testing.assert_array_equal(cross(BOUNDED, alloys, alloys, np.random.default_rng(0)), alloys)
    children = cross(BOUNDED, alloys, alloys[::-1], np.random.default_rng(0))
    assert BOUNDED.is_legal(children[:, 0], children[:, 1:]).all()
