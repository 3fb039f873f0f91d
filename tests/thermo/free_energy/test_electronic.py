import jax
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import expit

from matjax.thermo.free_energy.electronic import FermiDirac, Sommerfeld
from matjax.units import BOLTZMANN

ENERGIES = np.linspace(-6.0, 6.0, 61)
DENSITY = 0.8 + 0.3 * np.sin(2 * ENERGIES) + 0.05 * ENERGIES
N = 5.3

_value = jax.jit(lambda states, t: states(t, np.nan))
_potential = jax.jit(lambda states, t: states.chemical_potential(t))
_curvature = jax.jit(jax.grad(jax.grad(lambda t, states: states(t, np.nan))))
_slope = jax.jit(jax.grad(lambda t, states: states(t, np.nan)))


def on(function, *args):
    with jax.enable_x64(True):
        return float(function(*args))


def brute(temperature):
    """Chemical potential and free energy by quadrature over the piecewise linear density."""
    kt, density = BOLTZMANN * temperature, lambda e: np.interp(e, ENERGIES, DENSITY)
    integral = lambda f: sum(quad(f, a, b, epsabs=1e-13)[0] for a, b in zip(ENERGIES[:-1], ENERGIES[1:], strict=True))
    filled = lambda mu: integral(lambda e: density(e) * expit((mu - e) / kt))
    mu = brentq(lambda mu: filled(mu) - N, -3, 3, xtol=1e-13)
    return mu, mu * N - kt * integral(lambda e: density(e) * np.logaddexp(0, (mu - e) / kt))


def test_free_energy_and_potential_by_quadrature():
    states = FermiDirac(ENERGIES, DENSITY, N)
    (mu, free), (_, cooler) = brute(2000.0), brute(1000.0)
    assert on(_potential, states, 2000.0) == pytest.approx(mu, abs=1e-6)
    assert on(_value, states, 2000.0) - on(_value, states, 1000.0) == pytest.approx(free - cooler, abs=1e-8)


def test_low_temperature_is_sommerfelds():
    """F approaches -(pi²/6) N(E_F) k² T² with a relative error of order T²."""
    density = 0.7 + 0.1 * ENERGIES
    states = FermiDirac(ENERGIES, density, N)
    fermi = on(_potential, states, 0.0)
    leading = Sommerfeld(np.interp(fermi, ENERGIES, density))
    errors = [on(_value, states, t) / float(leading(t, np.nan)) - 1 for t in (1000.0, 2000.0)]
    assert 1e-6 < abs(errors[1]) < 1e-2 and errors[1] / errors[0] == pytest.approx(4, rel=0.05)


def test_third_law_and_derivatives():
    states = FermiDirac(ENERGIES, DENSITY, N)
    assert on(_value, states, 0.0) == 0 and abs(on(_slope, 0.0, states)) < 1e-18
    capacity, step = -900.0 * on(_curvature, 900.0, states), 1.0
    assert capacity == pytest.approx(-900.0 * (on(_slope, 900 + step, states) - on(_slope, 900 - step, states)) / (2 * step), rel=1e-6)
    assert capacity > 0


def test_a_gap_is_quiet():
    """In a gap of 2 eV nothing is excited at 300 K, the potential lies in its middle, and derivatives are finite."""
    energies = np.array([-5.0, -1.0, -0.999999, 0.999999, 1.0, 5.0])
    states = FermiDirac(energies, np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0]), 4 + 0.5e-6)
    assert abs(on(_potential, states, 0.0)) < 1e-6
    for t in (0.0, 300.0):
        assert abs(on(_value, states, t)) < 1e-12 and np.isfinite(on(_slope, t, states))


def test_missing_states_are_nan():
    assert np.isnan(on(_value, FermiDirac(ENERGIES, DENSITY, N), 6000.0))  # more is excited than the energies reach
    edge = FermiDirac(np.linspace(0, 12, 61), np.sqrt(np.linspace(0, 12, 61)), 3.0)  # a band's bottom misses nothing
    assert np.isfinite(on(_value, edge, 6000.0))
