"""Radial functions against their formula, and smooth at the cutoff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.nn.radial import bessel, envelope


@pytest.mark.parametrize("power", [2, 6])
def test_envelope_and_its_first_two_slopes_vanish_at_the_cutoff(power: int) -> None:
    with jax.enable_x64(True):
        f = lambda x: envelope(x, power)
        slope, curvature = jax.grad(f), jax.grad(jax.grad(f))
        edge = 1.0 - 1e-7
        assert float(f(0.0)) == 1.0 and float(f(edge)) == pytest.approx(0, abs=1e-12)
        assert float(slope(edge)) == pytest.approx(0, abs=1e-9) and float(curvature(edge)) == pytest.approx(0, abs=1e-4)
        assert [float(g(x)) for g in (f, slope, curvature) for x in (1.0, 1.5)] == [0.0] * 6
        x = np.linspace(0, 1, 50)
        assert (np.diff(np.asarray(f(jnp.asarray(x)))) <= 1e-12).all(), "the envelope falls"


def test_envelope_is_its_formula() -> None:
    x, p = np.linspace(0, 1.4, 30), 6
    expected = [1 - 28 * v**6 + 48 * v**7 - 21 * v**8 if v < 1 else 0 for v in x]
    assert ((p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2) == (28, 48, 21)
    np.testing.assert_allclose(envelope(jnp.asarray(x)), expected, atol=1e-5)


def test_bessel_is_its_formula() -> None:
    cutoff, lengths = 4.5, np.array([0.3, 1.0, 2.2, 4.4, 4.5, 9.0])
    with jax.enable_x64(True):
        found = bessel(jnp.asarray(lengths), cutoff, 5)
    for i, r in enumerate(lengths):
        for k in range(1, 6):
            x = r / cutoff
            smooth = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8 if x < 1 else 0.0
            expected = np.sqrt(2 / cutoff) * np.sin(k * np.pi * r / cutoff) / r * smooth  # eq. 7
            assert float(found[i, k - 1]) == pytest.approx(expected * cutoff**1.5 / 2, abs=1e-12)


def test_bessel_and_its_slopes_are_finite_from_close_to_far() -> None:
    lengths = jnp.asarray([1e-3, 0.5, 4.0, 8.0])
    values, slopes = jax.jvp(lambda r: bessel(r, 4.0, 8), (lengths,), (jnp.ones(4),))
    assert np.isfinite(values).all() and np.isfinite(slopes).all()
    assert not values[2:].any() and not slopes[2:].any()
