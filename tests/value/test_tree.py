"""The device side of the tree: steps, nodes and priors agree with the host and with the uniform law, for alloys and for compounds."""

import jax.numpy as jnp
import numpy as np
import pytest

from matjax.value import Alloys, Compounds
from matjax.value.tree import legal, nodes, priors, reset, step

SPACES = {
    "alloys": Alloys("Al Co Cr Ni", lattices="bcc fcc", n_site=6, min_elements=2, max_elements=3, max_count=4),
    "compounds": Compounds("Al Co Ni Ti", prototypes="B2 L1_2 L2_1", n_grid=2),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_prior_of_a_trajectory_is_uniform_over_materials(space):
    actions = np.column_stack(space.enumerate())
    prior = np.asarray(priors(space.tree, nodes(space.tree, jnp.asarray(actions))))
    taken = np.take_along_axis(prior, actions[..., None], -1)[..., 0]
    np.testing.assert_allclose(taken.sum(1), -np.log(space.n_leaf), atol=1e-5)
    np.testing.assert_allclose(np.exp(prior).sum(-1), 1.0, atol=1e-6)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_walking_and_replaying_see_the_same_states(space):
    actions = np.column_stack(space.enumerate())
    before = np.asarray(nodes(space.tree, jnp.asarray(actions)))
    prior = np.asarray(priors(space.tree, jnp.asarray(before)))
    state = reset(space.tree, len(actions))
    for t in range(space.tree.n_step):
        np.testing.assert_array_equal(state.node, before[:, t])
        np.testing.assert_array_equal(legal(space.tree, t, state), prior[:, t])
        state = step(space.tree, t, state, jnp.asarray(actions[:, t]))
    np.testing.assert_array_equal(state.counts, actions[:, 1:])
    np.testing.assert_array_equal(state.structure, actions[:, 0])


def test_nodes_say_what_is_left_of_the_orbit_and_how_many_elements_are_present():
    space, n_orbit = SPACES["compounds"], 3
    structure, counts = space.enumerate()
    before = np.asarray(nodes(space.tree, jnp.asarray(np.column_stack([structure, counts]))))
    grid = counts.reshape(len(counts), 4, n_orbit)
    sits = np.cumsum(grid, 1) - grid  # what earlier elements put on each orbit
    for t in range(1, space.tree.n_step):
        element, orbit = (t - 1) // n_orbit, (t - 1) % n_orbit
        exists = space.tree.share[structure, orbit] > 0
        np.testing.assert_allclose(space.tree.left[t, before[:, t]][exists], 1 - sits[exists, element, orbit] / 2)
        so_far = np.concatenate([grid[:, :element].any(2), grid[:, element, :orbit].any(1, keepdims=True)], 1)
        np.testing.assert_array_equal(space.tree.used[t, before[:, t]], so_far.sum(1))
