"""The Inden-Hillert-Jarl model against its own formula, its limits, what defines its constants, and pycalphad."""

import itertools

import jax
import numpy as np
import pytest

from matjax.thermo.free_energy.magnetic import STRUCTURE_FACTOR, above_ferromagnet, magnetic_free_energy
from matjax.thermo.host import float64
from matjax.units import BOLTZMANN, ENERGY


@pytest.fixture(autouse=True)
def _float64():
    with float64():
        yield


def naive(temperature, critical, moment, p):
    """Hillert & Jarl, as printed."""
    tau, rest = temperature / critical, 1 / p - 1
    a = 518 / 1125 + 11692 / 15975 * rest
    if tau < 1:
        g = 1 - (79 / tau / (140 * p) + 474 / 497 * rest * (tau**3 / 6 + tau**9 / 135 + tau**15 / 600)) / a
    else:
        g = -(tau**-5 / 10 + tau**-15 / 315 + tau**-25 / 1500) / a
    return BOLTZMANN * temperature * np.log(moment + 1) * g


def test_is_the_printed_formula_on_both_sides_of_the_critical_temperature():
    rng = np.random.default_rng(0)
    cases = np.column_stack([rng.uniform(1, 3000, 40), rng.uniform(1, 1500, 40), rng.uniform(0, 3, 40), rng.choice([0.28, 0.4], 40)])
    np.testing.assert_allclose(magnetic_free_energy(*cases.T), [naive(*case) for case in cases], rtol=1e-11)


def test_antiferromagnets_are_divided_by_their_factor():
    assert magnetic_free_energy(200.0, -900.0, -1.8, 0.28, -3.0) == magnetic_free_energy(200.0, 300.0, 0.6, 0.28)
    assert magnetic_free_energy(200.0, -311.5, -0.008, 0.4) == magnetic_free_energy(200.0, 311.5, 0.008, 0.4)


@pytest.mark.parametrize("p", STRUCTURE_FACTOR.values())
def test_constants_mean_what_they_say(p):
    """Continuous energy and entropy at Tc; entropy of the spins k ln(beta + 1) in all; the share p of the enthalpy above Tc."""
    critical, moment = 1000.0, 1.3
    spins = BOLTZMANN * np.log(moment + 1)
    f = jax.jit(lambda t: magnetic_free_energy(t, critical, moment, p))
    below, above = critical * (1 - 1e-12), critical * (1 + 1e-12)
    np.testing.assert_allclose(f(below), f(above), rtol=1e-9)
    np.testing.assert_allclose(jax.grad(f)(below), jax.grad(f)(above), rtol=1e-9)
    np.testing.assert_allclose(jax.grad(f)(1e-6), spins, rtol=1e-9)
    enthalpy = lambda t: f(t) - t * jax.grad(f)(t)
    np.testing.assert_allclose((0 - enthalpy(above)) / (0 - enthalpy(0.0)), p, rtol=1e-9)


def test_falls_off_with_the_fourth_power_of_temperature():
    high, higher = (magnetic_free_energy(t, 500.0, 2.0, 0.28) for t in (1e4, 2e4))
    np.testing.assert_allclose(high / higher, 16, rtol=1e-9)


def test_above_a_ferromagnet_entropy_grows_from_zero_to_the_spins():
    entropy = jax.jit(jax.vmap(jax.grad(lambda t: -above_ferromagnet(t, 1043.0, 2.22, 0.40))))(np.linspace(0.0, 6000.0, 121))
    assert above_ferromagnet(0.0, 1043.0, 2.22, 0.40) == 0 and entropy[0] == 0 and np.all(np.diff(entropy) > 0)
    np.testing.assert_allclose(entropy[-1], BOLTZMANN * np.log(3.22), rtol=1e-3)


def test_derivatives_are_finite_at_every_corner():
    corners = np.array(list(itertools.product((0.0, 300.0, 500.0), (0.0, 500.0, -1500.0), (0.0, 1.0, -1.0))))
    first, second = (
        jax.jit(jax.vmap(d(lambda z: magnetic_free_energy(z[0], z[1], z[2], 0.28, -3.0))))(corners) for d in (jax.grad, jax.hessian)
    )
    assert np.isfinite(first).all() and np.isfinite(second).all()


HEADER = """
 ELEMENT VA VACUUM 0 0 0!
 ELEMENT FE BCC 55.8 0 0!
 ELEMENT NI FCC 58.7 0 0!
 ELEMENT CO HCP 58.9 0 0!
"""
ELEMENT = """
 TYPE_DEFINITION {element[0]} GES A_P_D {phase} MAGNETIC {factor} {p}!
 PHASE {phase} {element[0]} 1 1!
 CONSTITUENT {phase} :{element}:!
 PARAMETER G({phase},{element};0) 1 0; 6000 N!
 PARAMETER TC({phase},{element};0) 1 {critical}; 6000 N!
 PARAMETER BMAGN({phase},{element};0) 1 {moment}; 6000 N!
"""
KEYS = "phase", "element", "critical", "moment", "p", "factor"
ROWS = [("BCC", "FE", 1043, 2.22, 0.4, -1), ("FCC", "NI", 633, 0.52, 0.28, -3), ("HCP", "CO", 1396, 1.35, 0.28, -3)]


def test_iron_nickel_and_cobalt_against_pycalphad():
    pycalphad = pytest.importorskip("pycalphad")
    data = pycalphad.Database(HEADER + "".join(ELEMENT.format(**dict(zip(KEYS, row, strict=True))) for row in ROWS))
    temperatures, joule = [298.15, 900.0, 1500.0], ENERGY["kJ/mol"] / 1000
    for phase, element, critical, moment, p, _ in ROWS:
        peer = pycalphad.calculate(data, [element, "VA"], phase, T=temperatures, P=101325, N=1).GM.values.ravel()
        ours = magnetic_free_energy(np.array(temperatures), critical, moment, p) / joule
        np.testing.assert_allclose(ours * (8.3145 * joule / BOLTZMANN), peer, rtol=1e-10)  # pycalphad's gas constant
