"""The liquid: melting points, the lens of an ideal system, linear programming with it among the phases, and its absence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy.optimize import brentq, linprog

from matjax.thermo import (
    LIQUID,
    MEMBERS,
    gibbs_compounds,
    gibbs_elements,
    gibbs_liquid,
    gibbs_solution,
    ideal_solidus,
    landscape,
    liquid,
)
from matjax.thermo.alloy.stability import describe, stabilities, stability
from matjax.units import BOLTZMANN, energy_to_ev

MELTING, FUSION = np.array([1000.0, 1600.0]), np.array([0.09, 0.15])
SYMBOLS = ("A", "B")


def given_liquid(pair: float = 0.0, heat_capacity: float = 0.0):
    return liquid(SYMBOLS, melting=MELTING, fusion=FUSION, heat_capacity=heat_capacity, pair=[[0, pair], [pair, 0]])


def lens(temperature: float) -> tuple[float, float]:
    """Fraction of the first element in solid and liquid of an ideal system (Schroeder, van Laar)."""
    first, second = np.exp(-FUSION * (1 - temperature / MELTING) / (BOLTZMANN * temperature))  # x_liquid / x_solid
    solid = (1 - second) / (first - second)
    return solid, first * solid


def ideal(x, temperature, melt: bool):
    y = np.array([x, 1 - x])
    return float(y @ (melt * FUSION * (1 - temperature / MELTING) + BOLTZMANN * temperature * np.log(y)))


@pytest.mark.parametrize("temperature", [1100.0, 1300.0, 1500.0])
def test_an_ideal_system_melts_along_the_lens(given_landscape, temperature):
    """Seen from a compound far above both, everything else competes without a separation."""
    solid, melt = lens(temperature)
    x, model = (solid + melt) / 2, given_landscape(2, {0: {}})._replace(liquid=given_liquid())
    model = model._replace(compound_x=jnp.tile(jnp.array([[x, 1 - x]]), (3, 1)), compound_enthalpy=jnp.array([0.5, 9.0, 9.0]))
    got = stability(model, 3, [x, 1 - x], temperature)
    tangent = (ideal(solid, temperature, False) + ideal(melt, temperature, True)) / 2
    own = float(gibbs_elements(model, temperature)[0])  # vibrations, which all solids share and the liquid is counted from
    assert float(got.gibbs) - float(got.value) - own == pytest.approx(tangent, abs=1e-6)
    shares = {row["phase"]: row for row in describe(got, SYMBOLS, ["X A", "-", "-"])}
    assert set(shares) == {"fcc", "liquid"}
    for name, end in (("fcc", solid), ("liquid", melt)):
        assert shares[name]["fraction"] == pytest.approx(0.5, abs=5e-3)
        assert shares[name]["composition"]["A"] == pytest.approx(end, abs=5e-3)
    assert ideal_lens_solidus(solid) == pytest.approx(temperature, abs=1e-6)


def ideal_lens_solidus(x: float) -> float:
    return float(np.asarray(brentq(lambda t: lens(t)[0] - x, 1000.0001, 1599.9999, xtol=1e-10)))


def test_elements_melt_where_they_should_on_any_landscape(given_landscape):
    model = given_landscape(2, {0: {0: 0.02}, 1: {1: -0.01}})._replace(liquid=given_liquid(0.05, heat_capacity=1e-5))
    for i, melting in enumerate(MELTING):
        gap = lambda t, i=i: float(gibbs_liquid(model, np.eye(2)[i], t) - gibbs_elements(model, t)[i])
        assert abs(gap(melting)) < 1e-14 and gap(melting - 1) > 0 > gap(melting + 1)
        step = 1e-2  # dG/dT = -fusion / melting, and the difference of heat capacities from the curvature
        assert (gap(melting + step) - gap(melting - step)) / (2 * step) == pytest.approx(-FUSION[i] / melting, rel=1e-6)
        assert -melting * (gap(melting + 50) + gap(melting - 50)) / 2500 == pytest.approx(1e-5, rel=1e-2)


@pytest.mark.parametrize(("phase", "x", "temperature"), [(0, 0.4, 900.0), (1, 0.7, 1200.0), (LIQUID, 0.5, 1250.0), (LIQUID, 0.25, 700.0)])
def test_two_elements_against_linear_programming(given_landscape, phase, x, temperature):
    rough = {0: {2: 0.05, 3: 0.03}, 1: {0: 0.02, 1: 0.03, 2: -0.1}, 2: {0: 0.01, 2: 0.1, 4: -0.2}}
    model = given_landscape(2, rough, [([0.5, 0.5], -0.03), ([0.75, 0.25], -0.02)])._replace(liquid=given_liquid(-0.03))
    got = stability(model, phase, [x, 1 - x], temperature)
    near = np.concatenate([x + s * np.array([0.1, 0.1 + 1e-9]) for s in (-1, 1)])
    grid = np.concatenate([np.linspace(0, 1, 4001), near])
    at = np.stack([grid, 1 - grid], 1)
    lowest = by_linear_programming(model, phase, np.array([x, 1 - x]), temperature, at)
    assert float(got.gibbs) - float(got.value) == pytest.approx(lowest, abs=2e-6)
    assert float(got.gap) < 1e-5 and bool(got.with_liquid)


def by_linear_programming(model, phase, x, temperature, grid) -> float:
    solutions = [np.array(gibbs_solution(model, k, grid, temperature)) for k in range(3)] + [
        np.array(gibbs_liquid(model, grid, temperature))
    ]
    solutions[phase][np.abs(grid - x).sum(1) / 2 < 0.1 - 1e-9] = 9.0  # the liquid is number -1, the last
    values = np.concatenate([*solutions, np.asarray(gibbs_compounds(model, temperature))])
    points = np.concatenate([*[grid] * 4, np.asarray(model.compound_x)])
    return linprog(values, A_eq=points.T, b_eq=x, method="highs").fun


@pytest.mark.slow
@pytest.mark.parametrize("phase", [0, LIQUID])
def test_three_elements_against_linear_programming(random_data, phase):
    pair = np.array([[0, -0.05, 0.02], [-0.05, 0, -0.1], [0.02, -0.1, 0]])
    model = landscape(*random_data(3, 2), liquid=liquid("ABC", melting=[900, 1500, 2000], fusion=[0.08, 0.15, 0.2], pair=pair))
    x, temperature, n = np.array([0.35, 0.3, 0.35]), 1300.0, 60
    got = stability(model, phase, x, temperature)
    grid = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n
    lowest = by_linear_programming(model, phase, x, temperature, grid)
    assert lowest - 2e-3 < float(got.gibbs) - float(got.value) < lowest + float(got.gap) + 1e-9 and float(got.gap) < 5e-4


def test_members_share_the_liquid(random_data):
    both = landscape(*random_data(2, 5, n_member=2), liquid=given_liquid())
    x = jnp.array([0.2, 0.8])
    with jax.enable_x64(True):
        over = jax.vmap(lambda member: gibbs_liquid(member, x, 1250.0), in_axes=(MEMBERS,))(both)
    np.testing.assert_allclose(over, gibbs_liquid(both, x, 1250.0), rtol=1e-12)


@pytest.mark.slow
def test_many_candidates_and_members_meet_it(random_data):
    both = landscape(*random_data(2, 5, n_member=2), liquid=given_liquid())
    got = stabilities(both, [0, LIQUID], [[0.45, 0.55], [0.2, 0.8]], 1250.0)
    assert got.value.shape == got.with_liquid.shape == (2, 2) and np.isfinite(got.value).all() and got.with_liquid.all()
    np.testing.assert_allclose(np.asarray(got.gibbs)[:, 1], gibbs_liquid(both, [0.2, 0.8], 1250.0), rtol=1e-12)


def test_a_function_of_temperature_stands_for_a_table():
    polynomial = Partial(lambda melting, fusion, t: fusion * (1 - t / melting), MELTING, FUSION)
    given = liquid(SYMBOLS, fusion=polynomial, pair=np.zeros((2, 2)))
    with jax.enable_x64(True):
        np.testing.assert_allclose(given.fusion(jnp.asarray(1234.0)), given_liquid().fusion(jnp.asarray(1234.0)), rtol=1e-12)


def test_metals_come_from_tables():
    made = liquid(("Al", "Ni", "Cu"))
    with jax.enable_x64(True):
        np.testing.assert_allclose(made.fusion(jnp.asarray(0.0)) / energy_to_ev("kJ/mol"), [10.71, 17.48, 13.26], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(made.pair) / energy_to_ev("kJ/mol"), [[0, -22, -1], [-22, 0, 4], [-1, 4, 0]], atol=0.5)


def test_the_ideal_solidus_is_the_lower_edge_of_the_lens():
    alloy = ideal_solidus(("Cu", "Ni"), [[1, 0], [0.5, 0.5], [0, 1]])
    assert alloy[0] == pytest.approx(1357.77) and alloy[2] == pytest.approx(1728.0)
    assert 1500 < alloy[1] < 1560  # measured: 1512 K
    assert np.isnan(ideal_solidus(("Cu", "Xx"), [0.5, 0.5])) and ideal_solidus(("Cu", "Xx"), [1.0, 0.0]) == pytest.approx(1357.77)


def test_bad_liquids_are_refused(given_landscape):
    with pytest.raises(ValueError, match="how Xe melt"):
        liquid(("Cu", "Xe"))
    with pytest.raises(ValueError, match="symmetric"):
        liquid(SYMBOLS, melting=MELTING, fusion=FUSION, pair=np.zeros((3, 3)))
    with pytest.raises(ValueError, match="must be positive"):
        liquid(SYMBOLS, melting=[1000.0, -1.0], fusion=FUSION, pair=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="leave melting"):
        liquid(SYMBOLS, melting=MELTING, fusion=lambda t: FUSION, pair=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="has no liquid"):
        gibbs_liquid(given_landscape(2, {0: {}}), [0.5, 0.5], 300.0)
    with pytest.raises(ValueError, match="landscape that has none"):
        stability(given_landscape(2, {0: {}}), LIQUID, [0.5, 0.5], 300.0)
    with pytest.raises(ValueError, match="not negative"):
        stability(given_landscape(2, {0: {}}), 0, [0.5, 0.5], -300.0)
