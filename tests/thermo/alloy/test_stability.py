"""The one definition of stability: closed forms, common tangents, brute force by linear programming, laws, derivatives."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, linprog, minimize

from matjax.thermo.alloy.gibbs import Terms, gibbs_compounds, gibbs_solution
from matjax.thermo.alloy.landscape import Landscape, Points, landscape
from matjax.thermo.alloy.not_considered import NOT_CONSIDERED
from matjax.thermo.alloy.stability import SEPARATION, Own, Stability, describe, stabilities, stability
from matjax.units import BOLTZMANN


def mixing(x, omega, temperature, skew=0.0):
    """Of a binary, by hand: x is the share of the first element."""
    entropy = -(x * np.log(x) + (1 - x) * np.log(1 - x))
    return x * (1 - x) * (omega + skew * (2 * x - 1)) - BOLTZMANN * temperature * entropy


def binary(x, model, temperature):
    """The solution on fcc of a landscape whose vibrations are alike everywhere, so that they cancel."""
    return stability(model, 0, [x, 1 - x], temperature)


# ---------------------------------------------------------------------------------------------------------------------
# Closed forms


def test_inside_a_miscibility_gap_it_is_the_distance_to_the_common_tangent(given_landscape):
    omega, temperature = 0.1, 450.0  # critical temperature omega / 2 k = 580 K
    binodal = brentq(lambda x: BOLTZMANN * temperature * np.log(x / (1 - x)) + omega * (1 - 2 * x), 1e-9, 0.49)
    for x in (0.5, 0.35):
        got = binary(x, given_landscape(2, {0: {2: omega}}), temperature)
        assert float(got.value) == pytest.approx(mixing(x, omega, temperature) - mixing(binodal, omega, temperature), abs=1e-6)
        used = np.asarray(got.fractions) > 1e-3
        ends = np.asarray(got.compositions)[used, 0]
        assert ends.min() == pytest.approx(binodal, abs=5e-3)
        assert ends.max() == pytest.approx(1 - binodal, abs=5e-3)


def test_common_tangent_of_a_subregular_solution(given_landscape):
    omega, skew, temperature = 0.12, 0.04, 450.0
    value = lambda x: mixing(x, omega, temperature, skew)
    chord = lambda e: value(e[0]) + (value(e[1]) - value(e[0])) * (0.5 - e[0]) / (e[1] - e[0])
    tangent = minimize(chord, [0.1, 0.9], bounds=[(0.001, 0.49), (0.51, 0.999)], tol=1e-12)
    got = binary(0.5, given_landscape(2, {0: {2: omega, 3: skew}}), temperature)
    assert float(got.value) == pytest.approx(value(0.5) - tangent.fun, abs=1e-6)
    np.testing.assert_allclose(np.sort(np.asarray(got.compositions)[:, 0]), tangent.x, atol=5e-3)
    assert float(got.gap) < 1e-5


def test_a_stable_solution_is_as_far_below_its_neighbours_as_the_separation_says(given_landscape):
    for omega, x in ((0.0, 0.5), (0.0, 0.3), (-0.2, 0.5), (0.1, 0.5)):
        got = binary(x, given_landscape(2, {0: {2: omega}}), 1000.0)
        chord = (mixing(x - SEPARATION, omega, 1000.0) + mixing(x + SEPARATION, omega, 1000.0)) / 2
        assert float(got.value) == pytest.approx(mixing(x, omega, 1000.0) - chord, abs=1e-9)
        assert float(got.value) < 0


def test_the_sign_changes_near_the_critical_temperature(given_landscape):
    model, critical = given_landscape(2, {0: {2: 0.1}}), 0.1 / (2 * BOLTZMANN)
    assert float(binary(0.5, model, 0.97 * critical).value) > 0 > float(binary(0.5, model, 1.03 * critical).value)


def test_another_lattice_competes_at_every_composition(given_landscape):
    model = given_landscape(2, {0: {2: -0.1}, 1: {0: 0.02, 1: -0.01, 2: -0.2}})
    deep = mixing(0.5, -0.2, 800.0) + 0.005
    got = binary(0.5, model, 800.0)
    grid = np.linspace(1e-6, 1 - 1e-6, 4001)
    bcc = mixing(grid, -0.2, 800.0) + 0.02 * grid - 0.01 * (1 - grid)
    other = grid[np.abs(grid - 0.5) >= SEPARATION]
    points, energies = np.concatenate([grid, other]), np.concatenate([bcc, mixing(other, -0.1, 800.0)])
    lowest = linprog(energies, A_eq=np.stack([points, 1 - points]), b_eq=[0.5, 0.5], method="highs").fun
    assert float(got.value) == pytest.approx(mixing(0.5, -0.1, 800.0) - lowest, abs=1e-6)
    assert float(got.value) >= mixing(0.5, -0.1, 800.0) - deep - 1e-9


def test_an_ordered_compound_below_the_tangent_counts_in_full(given_landscape):
    depth = 0.2
    model = given_landscape(2, {0: {}}, [([0.5, 0.5], -depth)])
    got = binary(0.5, model, 1000.0)
    assert float(got.value) == pytest.approx(depth + mixing(0.5, 0.0, 1000.0), abs=1e-9)
    compound = stability(model, 3, [0.5, 0.5], 1000.0)
    assert float(compound.value) == pytest.approx(-depth - mixing(0.5, 0.0, 1000.0), abs=1e-6)
    assert float(compound.gibbs) == pytest.approx(float(got.gibbs) - depth - mixing(0.5, 0.0, 1000.0), abs=1e-12)
    (competitor,) = describe(got, ["A", "B"], ["B2 AB", "-", "-"])
    assert competitor == {"phase": "B2 AB", "fraction": pytest.approx(1.0), "composition": {"A": 0.5, "B": 0.5}}


def test_a_pure_element_competes_with_its_other_lattices(given_landscape):
    got = stability(given_landscape(2, {0: {}, 1: {0: 0.03, 1: 0.05}}), 0, [1.0, 0.0], 600.0)
    assert float(got.value) == pytest.approx(-0.03, abs=1e-9)


def test_symmetric_solution_of_three_elements(given_landscape):
    """It decomposes above the equimolar spinodal at omega / 3 k (the transition is of first order), and is stable far above."""
    spinodal, model = 0.1 / (3 * BOLTZMANN), given_landscape(3, {0: {3: 0.1, 4: 0.1, 5: 0.1}})
    at = lambda t: float(stability(model, 0, np.full(3, 1 / 3), t).value)
    assert at(0.98 * spinodal) > 0 and at(1.02 * spinodal) > 0 > at(1.5 * spinodal)


# ---------------------------------------------------------------------------------------------------------------------
# Brute force


def brute_force(model: Landscape, phase: int, x: np.ndarray, temperature: float, n_grid: int) -> float:
    """Lowest G of other phases on a dense grid and many points at the separation, by HiGHS: an upper bound."""
    n, rng = len(x), np.random.default_rng(0)
    rows = [np.array([(*p, n_grid - sum(p)) for p in product(range(n_grid + 1), repeat=n - 1) if sum(p) <= n_grid]) / n_grid]
    for face in list(product((False, True), repeat=n))[1:-1]:
        inside, share = np.array(face), x[np.array(face)].sum() + SEPARATION
        if share <= 1:
            near = x * np.exp(rng.normal(0, 0.3, (300, n)))
            sums = near[:, inside].sum(1, keepdims=True), near[:, ~inside].sum(1, keepdims=True)
            rows.append(np.where(inside, near * share / sums[0], near * (1 - share) / sums[1]))
    grid, points, energies = np.concatenate(rows), [], []
    for lattice in range(3):
        other = np.ones(len(grid), bool) if lattice != phase else np.abs(grid - x).sum(1) / 2 >= SEPARATION - 1e-9
        points.append(grid[other])
        energies.append(np.asarray(gibbs_solution(model, lattice, grid, temperature))[other])
    keep = np.arange(len(model.compound_x)) + 3 != phase
    points.append(np.asarray(model.compound_x)[keep])
    energies.append(np.asarray(gibbs_compounds(model, temperature))[keep])
    return linprog(np.concatenate(energies), A_eq=np.concatenate(points).T, b_eq=x, method="highs").fun


def compare(model, phase, x, temperature, n_grid, slack):
    got = stability(model, phase, x, temperature)
    lowest = float(got.gibbs) - float(got.value)
    np.testing.assert_allclose(np.asarray(got.fractions) @ np.asarray(got.compositions), x, atol=1e-8)
    assert float(got.gap) < 5e-4
    assert lowest < brute_force(model, phase, x, temperature, n_grid) + float(got.gap) + 1e-9  # nothing is lower ...
    assert lowest > brute_force(model, phase, x, temperature, n_grid) - slack  # ... and it is a mixture that exists


@pytest.mark.parametrize(("seed", "temperature", "strength"), [(0, 400.0, 0.15), (1, 1000.0, 0.4), (2, 1800.0, 0.3)])
def test_three_elements_against_linear_programming(random_data, seed, temperature, strength):
    x = np.array([[0.3, 0.3, 0.4], [0.2, 0.5, 0.3], [0.6, 0.2, 0.2]])[seed]
    compare(landscape(*random_data(3, seed, strength=strength)), seed, x, temperature, 60, 2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("n_element", [4, 5])
@pytest.mark.parametrize("seed", range(4))
def test_more_elements_against_linear_programming(random_data, n_element, seed):
    x = np.random.default_rng(seed).multinomial(20 - 2 * n_element, np.full(n_element, 1 / n_element)) + 2
    compare(
        landscape(*random_data(n_element, seed)), seed % 3, x / 20, (500.0, 1000.0, 1500.0, 2000.0)[seed], {4: 24, 5: 12}[n_element], 8e-3
    )


# ---------------------------------------------------------------------------------------------------------------------
# Laws


def sub_data(points: Points, keep: list[int]) -> Points:
    """Data of some of the elements, in the order given."""
    inside = np.isclose(points.x[:, keep].sum(1), 1)
    return Points(points.lattice[inside], points.x[inside][:, keep], *(y[..., inside] for y in points[2:]))


def test_order_of_elements_does_not_matter(random_data):
    elements, mass, solutions, compounds = random_data(3, 3)
    turned = [2, 0, 1]
    other = landscape([elements[i] for i in turned], mass[turned], sub_data(solutions, turned), sub_data(compounds, turned))
    x = np.array([0.5, 0.3, 0.2])
    first, second = stability(landscape(elements, mass, solutions, compounds), 1, x, 900.0), stability(other, 1, x[turned], 900.0)
    assert float(first.value) == pytest.approx(float(second.value), abs=2e-5)


def test_absent_elements_change_nothing(given_landscape):
    """Two elements of three: compounds and surfaces of the third must play no part."""
    for inside, pair in (([0, 1], 3), ([0, 2], 4), ([1, 2], 5)):
        third = ({3, 4, 5} - {pair}).pop()
        x_compound, x_other = np.zeros(3), np.eye(3)[({0, 1, 2} - set(inside)).pop()] * 0.5
        x_compound[inside], x_other[inside[0]] = (0.75, 0.25), 0.5
        small = given_landscape(2, {0: {2: 0.09}, 1: {0: 0.01, 2: -0.1}}, [((0.75, 0.25), -0.08)])
        large = given_landscape(3, {0: {pair: 0.09, third: -0.9}, 1: {inside[0]: 0.01, pair: -0.1}}, [(x_compound, -0.08), (x_other, -2.0)])
        for phase, share in ((0, 0.5), (1, 0.3), (0, 0.1)):
            x = np.zeros(3)
            x[inside] = share, 1 - share
            first, second = stability(small, phase, [share, 1 - share], 500.0), stability(large, phase, x, 500.0)
            assert float(first.value) == pytest.approx(float(second.value), abs=3e-5)


def test_it_is_continuous_in_composition_and_temperature(random_data):
    model = landscape(*random_data(3, 4))
    for path in (
        [float(stability(model, 0, [0.3 + s, 0.4 - s, 0.3], 800.0).value) for s in np.linspace(0, 0.1, 41)],
        [float(stability(model, 0, [0.3, 0.4, 0.3], 600 + 400 * s).value) for s in np.linspace(0, 1, 41)],
    ):
        assert np.abs(np.diff(path)).max() < 4 * np.abs(np.diff(path)).mean() + 2e-4


def test_more_elements_are_not_better_by_themselves(given_landscape):
    """G of mixing falls with every element that joins; stability need not."""
    model = given_landscape(3, {0: {3: -0.1, 4: 0.2, 5: 0.2}})
    two = stability(model, 0, [0.5, 0.5, 0.0], 500.0)
    three = stability(model, 0, [0.4, 0.4, 0.2], 500.0)
    assert float(two.value) < 0 < float(three.value)


def test_many_candidates_and_members_are_each_one(random_data):
    data = random_data(2, 5, n_member=2)
    both = landscape(*data)
    phases, x = np.array([0, 1, 3]), np.array([[0.45, 0.55], [0.2, 0.8], np.asarray(both.compound_x)[0]])
    got = stabilities(both, phases, x, 900.0)
    assert got.value.shape == (2, 3) and got.compositions.shape == (2, 3, 2, 2)
    alone = landscape(*data[:2], *(Points(p.lattice, p.x, *(y[1] for y in p[2:])) for p in data[2:]))
    for i in range(3):
        assert float(got.value[1, i]) == pytest.approx(float(stability(alone, int(phases[i]), x[i], 900.0).value), abs=2e-5)


def test_own_cells_pin_the_candidates_lattice(random_data):
    model, x = landscape(*random_data(2, 6)), np.array([0.4, 0.6])
    free = stability(model, 0, x, 1000.0)
    raw = float(gibbs_solution(model, 0, x, 1000.0, Terms(False, False))) + float(x @ np.asarray(model.reference))
    pinned = stability(model, 0, x, 1000.0, own=Own(np.array([raw - 0.05]), x[None], np.array([1e-4])))
    silent = stability(model, 0, x, 1000.0, own=Own(np.array([raw - 0.05]), x[None], np.array([np.inf])))
    assert float(pinned.gibbs) == pytest.approx(float(free.gibbs) - 0.05, abs=1e-3)
    assert float(silent.value) == pytest.approx(float(free.value), abs=1e-6)


def test_competitors_are_compositions_where_an_element_has_just_the_separation_to_lose(given_landscape):
    """Its share is SEPARATION, so that at the separation nothing of it is left but rounding, of which nothing may be made."""
    model = given_landscape(3, {0: {3: 0.25, 4: 0.25, 6: 0.05}})
    path = np.array([[2, k, 18 - k] for k in range(1, 18)]) / 20
    for temperature in (400.0, 700.0):
        values = []
        for x in path:
            got = stability(model, 0, x, temperature)
            assert all(np.isfinite(field).all() for field in got)
            assert (np.asarray(got.compositions) >= 0).all()
            np.testing.assert_allclose(np.asarray(got.compositions).sum(-1), 1, atol=1e-9)
            np.testing.assert_allclose(np.asarray(got.fractions) @ np.asarray(got.compositions), x, atol=1e-8)
            values.append(float(got.value))
        assert np.abs(np.diff(values, n=2)).max() < 1e-3  # smooth along the path


def test_points_of_one_lattice_nearer_than_the_separation_are_one_phase():
    at = np.array([[0.5, 0.5], [0.62, 0.38], [0.56, 0.44], [0.9, 0.1], [0.5, 0.5]])
    found = Stability(0.0, 0.0, np.array([0.3, 0.3, 0.2, 0.1, 0.1]), np.array([1, 1, 1, 1, 2]), at, 0.0, 800.0)  # type: ignore[arg-type]
    rows = describe(found, ["A", "B"])
    assert [(row["phase"], round(row["fraction"], 12)) for row in rows] == [("bcc", 0.8), ("bcc", 0.1), ("hcp", 0.1)]
    assert rows[0]["composition"] == {"A": pytest.approx(0.56), "B": pytest.approx(0.44)}


# ---------------------------------------------------------------------------------------------------------------------
# Derivatives


@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_in_temperature_composition_and_enthalpies(random_data, seed):
    elements, mass, solutions, compounds = random_data(3, seed)

    def value(enthalpy, x, temperature):
        return stability(landscape(elements, mass, solutions._replace(enthalpy=enthalpy), compounds), 0, x, temperature).value

    with jax.enable_x64(True):
        at = (jnp.asarray(solutions.enthalpy), jnp.asarray([0.32, 0.31, 0.37]), jnp.asarray(900.0))
        slopes = jax.grad(value, argnums=(0, 1, 2))(*at)
        chosen = [0, 4, len(solutions.x) // 2]
        steps = [(0, 1e-3 * jnp.eye(len(at[0]))[i]) for i in chosen] + [(1, 1e-3 * jnp.array([1.0, -1.0, 0.0])), (2, jnp.asarray(2.0))]
        for number, step in steps:
            moved = lambda sign: [y + sign * step if k == number else y for k, y in enumerate(at)]  # noqa: B023
            numeric = float(value(*moved(1)) - value(*moved(-1))) / 2
            assert float((slopes[number] * step).sum()) == pytest.approx(numeric, rel=0.02, abs=5e-6)


# ---------------------------------------------------------------------------------------------------------------------
# Words and bad input


def test_what_is_not_considered_is_said():
    assert {"liquid", "sigma", "mu", "Laves"} <= set(NOT_CONSIDERED)


def test_bad_candidates_are_refused(given_landscape):
    model = given_landscape(2, {0: {}})
    with pytest.raises(ValueError, match="must be >= 0 and sum to 1"):
        stability(model, 0, [0.5, 0.6], 300.0)
    with pytest.raises(ValueError, match="landscape of 2 elements"):
        stability(model, 0, [0.5, 0.25, 0.25], 300.0)
    with pytest.raises(ValueError, match="has 6 elements; the search allows 5"):
        stability(given_landscape(6, {0: {}}), 0, np.full(6, 1 / 6), 300.0)
    with pytest.raises(ValueError, match="no candidate"):
        stabilities(model, np.zeros(0, int), np.zeros((0, 2)), 300.0)


def test_tracing_in_float32_is_refused(given_landscape):
    model = given_landscape(2, {0: {}})
    with pytest.raises(ValueError, match="enable_x64"):
        jax.grad(lambda t: stability(model, 0, [0.5, 0.5], t).value)(300.0)
