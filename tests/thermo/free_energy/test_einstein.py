import jax
import numpy as np
import pytest
from ase.thermochemistry import HarmonicThermo

from matjax.thermo.free_energy.einstein import Einstein, einstein_free_energy
from matjax.units import BOLTZMANN

_capacity = jax.jit(lambda t, theta: -t * jax.grad(jax.grad(einstein_free_energy))(t, theta))
_slope = jax.jit(jax.grad(einstein_free_energy))


def test_is_three_oscillators():
    thermo = HarmonicThermo(np.full(3, BOLTZMANN * 250.0))
    for temperature in (20.0, 300.0, 2000.0):
        assert float(Einstein(250.0)(temperature, np.nan)) == pytest.approx(
            thermo.get_helmholtz_energy(temperature, verbose=False), rel=1e-5
        )


def test_limits():
    with jax.enable_x64(True):
        assert float(einstein_free_energy(0.0, 250.0)) == pytest.approx(1.5 * BOLTZMANN * 250, rel=1e-14)
        assert float(_slope(0.0, 250.0)) == 0 and float(_capacity(0.0, 250.0)) == 0
        # Cv/3k = 1 - (theta/T)²/12 + O(T^-4): the rest shrinks 16-fold when T doubles
        left = [1 - float(_capacity(t, 250.0)) / (3 * BOLTZMANN) - (250 / t) ** 2 / 12 for t in (1000.0, 2000.0)]
        assert left[0] / left[1] == pytest.approx(16, rel=0.02)
        # at low T, Cv/3k = (theta/T)² exp(-theta/T) (1 + O(exp(-theta/T)))
        assert float(_capacity(5.0, 250.0)) == pytest.approx(3 * BOLTZMANN * 2500 * np.exp(-50), rel=1e-9)


def test_closed_form_of_the_heat_capacity():
    y = 250.0 / 180.0
    with jax.enable_x64(True):
        expected = 3 * BOLTZMANN * y**2 * np.exp(y) / np.expm1(y) ** 2
        assert float(_capacity(180.0, 250.0)) == pytest.approx(expected, rel=1e-12)
