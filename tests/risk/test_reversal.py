"""Forwards nothing happens; backwards the sign and the strength."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from matjax.risk import reverse


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 100, width=32), st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3))
def test_identity_forwards_reversal_backwards(strength, values):
    x = jnp.asarray(values)
    value, pull = jax.vjp(reverse, x, jnp.float32(strength))
    cotangent = jnp.array([1.0, -2.0, 0.5])
    np.testing.assert_array_equal(value, x)
    to_x, to_strength = pull(cotangent)
    np.testing.assert_allclose(to_x, -np.float32(strength) * cotangent)
    assert to_strength == 0


def test_one_step_serves_both_players():
    """f(a, reverse(b)): a descends on f, b ascends, under jit and vmap too."""
    value = lambda a, b, strength: (a * reverse(b, strength)).sum()
    a, b = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
    to_a, to_b = jax.jit(jax.grad(value, argnums=(0, 1)))(a, b, 0.5)
    np.testing.assert_allclose(to_a, b)
    np.testing.assert_allclose(to_b, -0.5 * a)
    many = jax.vmap(jax.grad(value, argnums=1), (None, None, 0))(a, b, jnp.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(many, -np.outer([0, 1, 2], a))
