"""Spinodals, critical and ordering temperatures against closed forms; sections of a binary and a ternary."""

import numpy as np
import pytest

from matjax.thermo.calphad.database import Database, database, solution
from matjax.thermo.calphad.diagram import binary_section, critical_point, disordered, instability, ternary_section
from matjax.thermo.calphad.function import constant
from matjax.thermo.calphad.phase import Parameter, Phase
from matjax.units import BOLTZMANN

OMEGA = 0.15
RANGE = (10.0, 3000.0)


@pytest.fixture(scope="module")
def regular() -> Database:
    return database([solution("fcc", {"Al": 0.0, "Zn": 0.0}, {("Al", "Zn"): [OMEGA]})], temperature_range=RANGE)


def symmetric(n: int, omega: float) -> Database:
    names = ("Al", "Co", "Cr", "Fe", "Ni")[:n]
    pairs = {(a, b): [omega] for i, a in enumerate(names) for b in names[i + 1 :]}
    return database([solution("fcc", dict.fromkeys(names, 0.0), pairs)], temperature_range=RANGE)


def test_spinodal_and_critical_point_of_the_regular_solution(regular):
    x = np.linspace(0.03, 0.97, 6)
    found = instability(regular, "fcc", np.stack([1 - x, x], 1))
    np.testing.assert_allclose(found.temperature, 2 * OMEGA * x * (1 - x) / BOLTZMANN, rtol=1e-7)
    assert not found.ordering.any()
    temperature, at = critical_point(regular, "fcc")
    np.testing.assert_allclose(temperature, OMEGA / 2 / BOLTZMANN, rtol=1e-7)
    np.testing.assert_allclose(at, 0.5, atol=1e-4)


@pytest.mark.parametrize("n", [3, 5])
def test_symmetric_solution_of_n_components_unmixes_at_omega_over_n(n):
    found = instability(symmetric(n, OMEGA), "fcc", np.full((1, n), 1 / n))
    np.testing.assert_allclose(found.temperature, OMEGA / (n * BOLTZMANN), rtol=1e-7)


def test_what_mixes_at_all_temperatures_has_no_instability():
    assert np.isnan(instability(symmetric(3, -0.1), "fcc", np.full((1, 3), 1 / 3)).temperature).all()
    with pytest.raises(ValueError, match="does not unmix"):
        critical_point(database([solution("fcc", {"Al": 0.0, "Zn": 0.0})], temperature_range=RANGE), "fcc")


def test_ordering_on_two_sublattices_sets_in_where_bragg_and_williams_say():
    # Per atom, G = v / 2 (y_A z_B + y_B z_A) + kT / 2 (ideal mixing on both); with y_A = 1/2 + e, z_A = 1/2 - e its curvature in e
    # vanishes at kT = -v / 2.
    v = -0.2
    ends = [Parameter(((a,), (b,)), constant(v / 2 if a != b else 0.0)) for a in ("Al", "Ni") for b in ("Al", "Ni")]
    data = database([Phase("B2", (0.5, 0.5), (("Al", "Ni"),) * 2, tuple(ends))], temperature_range=RANGE)
    found = instability(data, "B2", [[0.5, 0.5]])
    np.testing.assert_allclose(found.temperature, -v / 2 / BOLTZMANN, rtol=1e-7)
    assert found.ordering.all()
    np.testing.assert_allclose(disordered(data, "B2", [[0.3, 0.7]]), [[0.3, 0.7, 0.3, 0.7]])


def test_binary_section_holds_the_binodal_and_nothing_above_it(regular):
    lines = binary_section(regular, [400.0, 700.0, 900.0], n=5)
    assert lines.temperature.tolist() == [400.0, 700.0]
    x, kt = lines.x[:, :, 1], BOLTZMANN * lines.temperature[:, None]
    np.testing.assert_allclose(kt * np.log((1 - x) / x), OMEGA * (1 - 2 * x), atol=1e-8)


@pytest.mark.slow
def test_ternary_section_of_three_immiscible_elements_has_one_triangle_with_its_symmetry():
    lines, triangles = ternary_section(symmetric(3, 0.2), 700.0, n=6)
    assert len(triangles.x) == 1
    np.testing.assert_allclose(np.sort(triangles.x[0], 1)[:, :2], np.sort(triangles.x[0], 1)[0, 0], atol=1e-7)
    assert len(lines.x) == 3  # one by each edge, along it: the points nearest to the edge lie on one line
    apart = np.sort(np.abs(lines.x[:, 0] - lines.x[:, 1]), 1)
    np.testing.assert_allclose(apart[:, 0], 0, atol=1e-7)
    np.testing.assert_allclose(apart[:, 1:], apart[0, 1], atol=1e-7)
    with pytest.raises(ValueError, match="three elements"):
        ternary_section(symmetric(2, 0.3), 700.0)
