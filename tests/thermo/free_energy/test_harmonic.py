"""Harmonic free energies against closed forms and their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.free_energy.harmonic import IMAGINARY, harmonic, harmonic_free_energy
from matjax.units import BOLTZMANN

RNG = np.random.default_rng(3)
ENERGIES = np.sort(RNG.uniform(0.005, 0.04, (7, 6)), axis=1)
WEIGHTS = RNG.uniform(0.1, 1, 7)


def by_sums(temperature, energies, weights):
    """F, S, U and Cv of oscillators per atom, mode by mode."""
    x = energies / (BOLTZMANN * temperature)
    share = np.broadcast_to(3 * weights[:, None] / weights.sum() / energies.shape[1], energies.shape)
    free = (share * (energies / 2 + BOLTZMANN * temperature * np.log(1 - np.exp(-x)))).sum()
    entropy = (share * BOLTZMANN * (x / np.expm1(x) - np.log(1 - np.exp(-x)))).sum()
    energy = (share * energies * (0.5 + 1 / np.expm1(x))).sum()
    return free, entropy, energy, (share * BOLTZMANN * x**2 * np.exp(x) / np.expm1(x) ** 2).sum()


@pytest.mark.parametrize("temperature", [40.0, 300.0, 2000.0])
def test_derivatives_are_the_sums_over_oscillators(temperature):
    part = harmonic(ENERGIES, WEIGHTS)
    with jax.enable_x64(True):
        free, first = jax.value_and_grad(part)(temperature)
        second = jax.grad(jax.grad(part))(temperature)
    free, first, second = float(free), float(first), float(second)
    found = free, -first, free - temperature * first, -temperature * second
    np.testing.assert_allclose(found, by_sums(temperature, ENERGIES, WEIGHTS), rtol=1e-10)


def test_limits_of_low_and_high_temperature():
    with jax.enable_x64(True):
        part = harmonic(ENERGIES, WEIGHTS)
        cv = lambda t: float(-t * jax.grad(jax.grad(part))(t))
        assert float(part(0.0)) == pytest.approx(float(jnp.sum(part.shares * part.energies) / 2), rel=1e-14)
        assert float(jax.grad(part)(0.0)) == 0
        squares = float(jnp.sum(part.shares * part.energies**2)) / 3
        lack = [1 - cv(t) / (3 * BOLTZMANN) for t in (2000.0, 4000.0)]
    assert lack[0] / lack[1] == pytest.approx(4, rel=1e-2)  # (h nu / kT)² / 12
    assert lack[1] == pytest.approx(squares / (BOLTZMANN * 4000) ** 2 / 12, rel=1e-2)


def test_translations_are_left_out_and_all_modes_count():
    still = ENERGIES.copy()
    still[0, :3] = [0.0, 1e-9, -1e-5]
    part = harmonic(still, WEIGHTS)
    assert np.asarray(part.shares).sum() == pytest.approx(3) and float(part.imaginary) == 0
    assert (np.asarray(part.shares) == 0).sum() == 3 and np.isfinite(float(part(300.0)))


def test_imaginary_modes_are_refused_or_stiffened_never_dropped():
    soft = ENERGIES.copy()
    soft[2, 0] = -0.003
    refused, stiff = harmonic(soft, WEIGHTS), harmonic(soft, WEIGHTS, stiffen_to=0.004)
    share = WEIGHTS[2] / WEIGHTS.sum() / 6
    assert np.isnan(float(refused(300.0))) and float(refused.imaginary) == pytest.approx(share)
    replaced = np.where(soft < 0, 0.004, soft)
    assert float(stiff(300.0)) == pytest.approx(by_sums(300.0, replaced, WEIGHTS)[0], rel=1e-12)
    assert float(stiff.imaginary) == pytest.approx(share)


def test_bad_input_is_refused_or_nan():
    assert np.isnan(float(harmonic_free_energy(-1.0, ENERGIES[0], np.full(6, 0.5))))
    with pytest.raises(ValueError, match=r"frequencies \[n_q, n_mode\]"):
        harmonic(ENERGIES[0], WEIGHTS)
    with pytest.raises(ValueError, match="stiffen_to is 0"):
        harmonic(ENERGIES, WEIGHTS, stiffen_to=0.0)
    assert IMAGINARY > 0
