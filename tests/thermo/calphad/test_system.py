"""Energies of the compound energy formalism: closed forms, identities of thermodynamics, limits, and independence of the padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.calphad.database import database, solution
from matjax.thermo.calphad.function import constant, polynomial
from matjax.thermo.calphad.phase import Parameter, Phase
from matjax.thermo.calphad.system import FLOOR, check_temperature, energies, energy, moles, parameters, surface, temperature_range
from matjax.thermo.free_energy.magnetic import magnetic_free_energy
from matjax.thermo.host import float64
from matjax.units import BOLTZMANN

OMEGA, SITES = 0.11, 2.0
AL, NI, CR = (polynomial(-0.08 * k, 1.4e-3, -2.5e-4, {2: -2e-8 * k, -1: 0.7}, high=3000.0) for k in (1, 2, 3))
REGULAR = solution("regular", {"Al": 0.0, "Ni": 0.0}, {("Al", "Ni"): [OMEGA]}, sites=SITES)
TERNARY = solution(
    "liquid",
    {"Al": AL, "Cr": CR, "Ni": NI},
    {("Al", "Ni"): [polynomial(-1.2, t=2e-4), 0.1, -0.05], ("Al", "Cr", "Ni"): [0.3, -0.2, polynomial(0.1, t=1e-4)]},
)
MAGNET = Phase(
    "magnet",
    (1.0, 3.0),
    (("Cr", "Ni"), ("Al", "Va")),
    tuple(
        Parameter(names, constant(value), order, quantity)
        for names, value, order, quantity in [
            ((("Ni",), ("Va",)), 633.0, 0, "TC"),
            ((("Ni",), ("Va",)), 0.52, 0, "BMAGN"),
            ((("Cr", "Ni"), ("*",)), -3605.0, 0, "TC"),
            ((("Cr", "Ni"), ("*",)), -1.91, 0, "BMAGN"),
            ((("Ni",), ("Al", "Va")), -0.2, 1, "G"),
        ]
    ),
    magnetic=(0.28, -3.0),
)
DATA = database([REGULAR, TERNARY, MAGNET], species=None)
LIQUID, MAGNETIC = 1, 2
T = 873.0

total = jax.jit(energy)
slopes = jax.jit(jax.grad(energy, (2, 3)))
curvature = jax.jit(jax.hessian(energy, 2))


@pytest.fixture(autouse=True)
def _float64():
    with float64():
        yield


def random_y(phase: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    groups = DATA.constituents[phase]
    return DATA.site_fractions(DATA.phases[phase], [dict(zip(g, rng.dirichlet(np.ones(len(g))), strict=True)) for g in groups])


def test_regular_solution_is_its_closed_form():
    for x in (0.03, 0.5, 0.8):
        y = DATA.site_fractions("regular", [{"Al": x, "Ni": 1 - x}])
        mixing = BOLTZMANN * T * (x * np.log(x) + (1 - x) * np.log(1 - x))
        np.testing.assert_allclose(total(DATA.system, 0, y, T), SITES * mixing + OMEGA * x * (1 - x), rtol=1e-12)
        gradient, slope = slopes(DATA.system, 0, y, T)
        aluminium = total(DATA.system, 0, y, T) + gradient[0] - gradient[:2] @ y[:2]  # dG/dn at constant n of the other
        np.testing.assert_allclose(aluminium, SITES * BOLTZMANN * T * np.log(x) + OMEGA * (1 - x) ** 2, rtol=1e-11)
        np.testing.assert_allclose(slope, SITES * mixing / T, rtol=1e-12)
        along = np.array([1.0, -1.0])
        expected = SITES * BOLTZMANN * T / (x * (1 - x)) - 2 * OMEGA
        np.testing.assert_allclose(along @ curvature(DATA.system, 0, y, T)[:2, :2] @ along, expected, rtol=1e-11)


def extensive(n, phase):
    """G of amounts n on the sublattices, homogeneous of degree one: as many formula units as amounts on the first."""
    own = (DATA.system.sublattice[phase][None] == jnp.arange(DATA.system.sites.shape[1])[:, None]).astype(float)
    amount = own @ n
    return amount[0] * energy(DATA.system, phase, n / jnp.where(own.sum(0) > 0, amount @ own, 1.0), T)


euler = jax.jit(lambda n, phase: (extensive(n, phase), jax.grad(extensive)(n, phase), jax.hessian(extensive)(n, phase)))


@pytest.mark.parametrize("phase", [LIQUID, MAGNETIC])
def test_euler_and_gibbs_duhem(phase):
    n = random_y(phase)[DATA.system.sublattice[phase] >= 0]
    value, potentials, second = (np.asarray(x) for x in euler(1.7 * np.pad(n, (0, 4 - len(n)), constant_values=1.0), phase))
    np.testing.assert_allclose(potentials[: len(n)] @ n * 1.7, value, rtol=1e-12)
    np.testing.assert_allclose(second[: len(n), : len(n)] @ n, 0, atol=1e-12)
    np.testing.assert_allclose(second, second.T, atol=1e-13)


def test_gibbs_helmholtz_and_heat_capacity_against_the_polynomials():
    """H = -T^2 d(G/T)/dT and Cp = -T d2G/dT2 of a + b T + c T ln T + d T^2 + e / T, by hand."""
    y = DATA.site_fractions("liquid", [{"Al": 1.0}])
    g = lambda t: energy(DATA.system, LIQUID, y, t)
    helmholtz = lambda t: -(t**2) * jax.grad(lambda t: g(t) / t)(t)
    value, slope, bend, enthalpy = jax.jit(lambda t: (g(t), jax.grad(g)(t), jax.grad(jax.grad(g))(t), helmholtz(t)))(T)
    np.testing.assert_allclose(enthalpy, -0.08 + 2.5e-4 * T + 2e-8 * T**2 + 2 * 0.7 / T, rtol=1e-12)
    np.testing.assert_allclose(value - T * slope, enthalpy, rtol=1e-12)
    np.testing.assert_allclose(-T * bend, 2.5e-4 + 4e-8 * T - 2 * 0.7 / T**2, rtol=1e-11)


@pytest.mark.parametrize("phase", [LIQUID, MAGNETIC])
def test_gradients_against_finite_differences(phase):
    y, step = random_y(phase), 1e-6
    gradient, slope = slopes(DATA.system, phase, y, T)
    for i in range(len(y)):
        up, down = (total(DATA.system, phase, y + sign * step * np.eye(len(y))[i], T) for sign in (1, -1))
        if y[i] > 0:
            np.testing.assert_allclose(gradient[i], (up - down) / (2 * step), rtol=1e-6, atol=1e-8)
    rise = total(DATA.system, phase, y, T + 0.01) - total(DATA.system, phase, y, T - 0.01)
    np.testing.assert_allclose(slope, rise / 0.02, rtol=1e-6)


def test_derivatives_are_finite_where_a_constituent_is_absent():
    y = DATA.site_fractions("liquid", [{"Al": 1.0}])
    (gradient, slope), second = slopes(DATA.system, LIQUID, y, T), curvature(DATA.system, LIQUID, y, T)
    assert np.isfinite(gradient).all() and np.isfinite(slope) and np.isfinite(second).all()
    np.testing.assert_allclose(total(DATA.system, LIQUID, y, T), AL(T), rtol=1e-13)
    ideal = BOLTZMANN * T * np.log(FLOOR)  # the logarithm stops at the floor
    np.testing.assert_allclose(slopes(DATA.system, 0, np.array([1.0, 0, 0, 0]), T)[0][1], SITES * ideal + OMEGA, rtol=1e-12)


def test_padding_changes_nothing():
    alone = database([TERNARY])
    y = random_y(LIQUID)
    np.testing.assert_allclose(total(DATA.system, LIQUID, y, T), total(alone.system, 0, y[:3], T), rtol=1e-13)
    garbage = y + np.array([0, 0, 0, 0.37])
    assert total(DATA.system, LIQUID, garbage, T) == total(DATA.system, LIQUID, y, T)


def test_surfaces_are_energies_as_matrix_products():
    y = np.stack([random_y(MAGNETIC, seed) for seed in range(5)])
    points = jax.jit(surface)(DATA.system, MAGNETIC, y)
    made_at = jax.jit(lambda s, p, t: energies(s, p, t, parameters(s, t)[MAGNETIC]))
    for temperature in (400.0, T):
        made = made_at(DATA.system, points, temperature)
        np.testing.assert_allclose(made, [total(DATA.system, MAGNETIC, row, temperature) for row in y], rtol=1e-12)
    np.testing.assert_allclose(points.moles, [moles(DATA.system, MAGNETIC, row) for row in y])


def test_moles_count_species_and_leave_out_vacancies():
    data = database([Phase("p", (1.0, 3.0), (("Al", "Al2Ni"), ("Ni", "Va")), ())], species={"Al2Ni": {"Al": 2, "Ni": 1}})
    y = data.site_fractions("p", [{"Al": 0.4, "Al2Ni": 0.6}, {"Ni": 0.1, "Va": 0.9}])
    np.testing.assert_allclose(moles(data.system, 0, y), [0.4 + 1.2, 0.6 + 0.3])


def test_an_ordered_magnet_is_one_magnet():
    """Tc and moment of an ordered phase are summed over disordered part and ordering first; per atom, of two here."""
    both, moment = (("Fe", "Ni"), ("Fe", "Ni")), constant(2.2)
    iron = Parameter((("Fe",),), constant(1043.0), 0, "TC"), Parameter((("Fe",),), moment, 0, "BMAGN")
    below = Phase("A2", (1.0,), (("Fe", "Ni"),), iron, (0.4, -1.0))
    own = Parameter((("Fe",), ("Ni",)), constant(400.0), 0, "TC"), Parameter((("Ni",), ("Fe",)), constant(0.5), 0, "BMAGN")
    data = database([Phase("B2", (1.0, 1.0), both, own, None, below)])
    a, b = 0.9, 0.3  # iron on either sublattice
    y, x = data.site_fractions("B2", [{"Fe": a, "Ni": 1 - a}, {"Fe": b, "Ni": 1 - b}]), (a + b) / 2
    critical = 1043 * x + 400 * (a * (1 - b) - x * (1 - x))
    magnetism = magnetic_free_energy(T, critical, 2.2 * x + 0.5 * ((1 - a) * b - x * (1 - x)), 0.4)
    ideal = BOLTZMANN * T * np.sum(y * np.log(y))
    np.testing.assert_allclose(total(data.system, 0, y, T), ideal + 2 * magnetism, rtol=1e-12)


def test_temperatures_outside_the_range_are_refused():
    assert temperature_range(DATA.system) == (298.15, 3000.0)
    y = random_y(LIQUID)
    values = [total(DATA.system, LIQUID, y, t) for t in (298.0, 298.15, 3000.0, 3001.0)]
    assert np.isnan(values).tolist() == [True, False, False, True]
    check_temperature(DATA.system, [298.15, 3000.0])
    with pytest.raises(ValueError, match="250 to 400 K leave the range 298.15 to 3000 K"):
        check_temperature(DATA.system, [400.0, 250.0])
    with pytest.raises(ValueError, match="leave the range"):
        check_temperature(DATA.system, np.nan)
    wider = database([TERNARY], temperature_range=(200.0, 4000.0))
    np.testing.assert_allclose(total(wider.system, 0, np.array([1.0, 0, 0]), 250.0), AL(250.0), rtol=1e-13)
