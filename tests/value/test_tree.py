"""The device side of the tree: steps, prefixes and priors agree with the host and with the uniform law."""

import jax.numpy as jnp
import numpy as np

from matjax.value import Alloys
from matjax.value.tree import legal, prefixes, priors, reset, step

SPACE = Alloys("Al Co Cr Ni", lattices="bcc fcc", n_site=6, min_elements=2, max_elements=3, max_count=4)


def test_the_prior_of_a_trajectory_is_uniform_over_alloys():
    actions = np.column_stack(SPACE.enumerate())
    prior = np.asarray(priors(SPACE.tree, jnp.asarray(actions)))
    taken = np.take_along_axis(prior, actions[..., None], -1)[..., 0]
    np.testing.assert_allclose(taken.sum(1), -np.log(SPACE.n_leaf), atol=1e-5)
    np.testing.assert_allclose(np.exp(prior).sum(-1), 1.0, atol=1e-6)


def test_walking_and_replaying_see_the_same_states():
    actions = np.column_stack(SPACE.enumerate())
    remaining, used = (np.asarray(x) for x in prefixes(SPACE.tree, jnp.asarray(actions)))
    prior = np.asarray(priors(SPACE.tree, jnp.asarray(actions)))
    state = reset(SPACE.tree, len(actions))
    for t in range(SPACE.tree.n_step):
        np.testing.assert_array_equal(state.remaining, remaining[:, t])
        np.testing.assert_array_equal(state.used, used[:, t])
        np.testing.assert_array_equal(legal(SPACE.tree, t, state), prior[:, t])
        state = step(t, state, jnp.asarray(actions[:, t]))
    np.testing.assert_array_equal(state.counts, actions[:, 1:])
    np.testing.assert_array_equal(state.lattice, actions[:, 0])
    assert not np.asarray(state.remaining).any()
