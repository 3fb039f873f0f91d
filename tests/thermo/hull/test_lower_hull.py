import warnings

import jax
import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element
from scipy.optimize import linprog

from matjax.thermo import decompose, energy_above_hull, lower_hull
from matjax.thermo.hull.lower_hull import NO_PHASE, TOLERANCE

hulls = jax.jit(jax.vmap(lower_hull, (0, None, None, None)))


def many(x, points, energies, mask=None):
    """Hulls at x [m, n_element], in float64, as NumPy."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, hulls(x, points, energies, np.ones(len(points), bool) if mask is None else mask))


def highs(x, points, energies):
    solutions = [linprog(energies, A_eq=points.T, b_eq=row, bounds=(0, None), method="highs") for row in x]
    return np.array([s.fun if s.status == 0 else np.nan for s in solutions])


def random_system(n_element, n, seed=0):
    """Elements at zero, compounds below and above, candidates between."""
    rng = np.random.default_rng(seed)
    inner = rng.dirichlet(np.full(n_element, 0.6), n - n_element)
    energies = -1.2 * (1 - (inner**2).sum(1)) + 0.25 * rng.normal(size=len(inner))
    points = np.concatenate([np.eye(n_element), inner])
    return points, np.concatenate([np.zeros(n_element), energies]), rng.dirichlet(np.ones(n_element), 20)


def check(hull, x, points, energies):
    """The mixture has the composition and the energy, and no phase lies below its plane: the optimality conditions."""
    np.testing.assert_allclose(np.einsum("mk,mki->mi", hull.fractions, points[hull.indices]), x, atol=1e-12)
    np.testing.assert_allclose(np.sum(hull.fractions * energies[hull.indices], axis=1), hull.energy, atol=1e-12)
    np.testing.assert_allclose(np.sum(hull.chemical_potentials * x, axis=1), hull.energy, atol=1e-12)
    np.testing.assert_allclose(hull.gap, np.min(energies - hull.chemical_potentials @ points.T, axis=1), atol=1e-12)
    assert np.all(hull.fractions >= 0) and np.all(hull.gap >= -TOLERANCE)


@pytest.mark.parametrize("n_element", [2, 5, 10])
def test_random_systems_agree_with_highs(n_element):
    points, energies, x = random_system(n_element, 400)
    hull = many(x, points, energies)
    np.testing.assert_allclose(hull.energy, highs(x, points, energies), atol=1e-12)
    check(hull, x, points, energies)
    assert hull.n_pivot.max() < 100


@pytest.mark.parametrize("n_element", [5, 10])
def test_degenerate_systems_agree_with_highs(n_element):
    """Duplicates, collinear points, equal energies, candidates on points and on edges, elements that are absent."""
    rng = np.random.default_rng(n_element)
    points = np.concatenate(
        [np.eye(n_element), rng.multinomial(4, np.ones(n_element) / n_element, 397 - n_element) / 4, np.eye(n_element)[:3]]
    )
    energies = np.round(-(1 - (points**2).sum(1)), 1) + 0.1 * rng.integers(0, 3, len(points))
    energies[:n_element] = 0.3
    x = np.concatenate([rng.multinomial(4, np.ones(n_element) / n_element, 17) / 4, np.eye(n_element)[:3]])
    hull = many(x, points, energies)
    np.testing.assert_allclose(hull.energy, highs(x, points, energies), atol=1e-12)
    check(hull, x, points, energies)
    np.testing.assert_array_equal(hull.energy[-3:], [min(energies[points[:, i] == 1]) for i in range(3)])


def test_flat_hulls_end():
    """Every basis is optimal or tied where all formation energies vanish, and where energies are linear."""
    points, _, x = random_system(5, 400)
    for energies in (np.zeros(400), points @ np.arange(5.0)):
        hull = many(x, points, energies)
        np.testing.assert_allclose(hull.energy, x @ (energies[:5]), atol=1e-12)


def test_without_elements_the_phases_must_surround_x():
    rng = np.random.default_rng(1)
    points, energies = rng.dirichlet(np.ones(5), 400), rng.random(400) - 3000.0  # total energies
    points[points[:, 0] > 0.5] = np.full(5, 0.2)
    x = np.concatenate([rng.dirichlet(np.full(5, 4.0), 15), np.eye(5)])
    hull, expected = many(x, points, energies), highs(x, points, energies)
    inside = np.isfinite(expected)
    assert 5 < inside.sum() <= 15
    np.testing.assert_array_equal(np.isfinite(hull.energy), inside)
    np.testing.assert_allclose(hull.energy[inside], expected[inside], atol=1e-8)  # HiGHS' own tolerance on this scale
    check(jax.tree.map(lambda a: a[inside], hull), x[inside], points, energies)
    assert np.all(hull.gap[~inside] == -np.inf)


def test_absent_elements_need_no_phase():
    points, energies, x = random_system(5, 400)
    x[:10, 4] = points[5:, 4] = 0
    points, x = points / points.sum(1, keepdims=True), x / x.sum(1, keepdims=True)
    hull = many(x, points, energies, np.arange(400) != 4)
    np.testing.assert_array_equal(np.isfinite(hull.energy), np.arange(20) < 10)
    assert np.all(hull.indices[:10, 4] == -1) and np.all(hull.fractions[:10, 4] == 0)
    np.testing.assert_allclose(hull.energy[:10], many(x, points, energies).energy[:10], atol=1e-13)


def test_the_phase_diagram_of_pymatgen():
    elements = [Element(s) for s in ("Al", "Co", "Ni", "Ti")]
    formulae = {"Al": -3.74, "Co": -7.11, "Ni": -5.78, "Ti": -7.90, "NiAl": -5.40, "Ni3Al": -5.68, "NiAl3": -4.66, "Ni2Al3": -5.20,
                "CoAl": -5.98, "CoTi": -7.90, "Co3Ti": -7.56, "NiTi": -7.20, "Ni3Ti": -6.79, "NiTi2": -7.48, "TiAl": -6.21, "Ti3Al": -7.14,
                "TiAl3": -5.16, "CoNi": -6.44, "Ni2TiAl": -6.33, "Co2TiAl": -7.02, "CoNiAl2": -5.66, "CoNiTi2": -7.5}  # fmt: skip
    noise = 0.001 * np.random.default_rng(0).random(len(formulae))  # numbers this round have ties
    entries = [PDEntry(Composition(f), (e + d) * Composition(f).num_atoms) for (f, e), d in zip(formulae.items(), noise, strict=True)]
    points = np.array([[e.composition.get_atomic_fraction(s) for s in elements] for e in entries])
    energies = np.array([e.energy_per_atom for e in entries])
    diagram = PhaseDiagram(entries)
    x = np.random.default_rng(0).dirichlet(np.ones(4), 20)
    hull = many(x, points, energies)
    for row, energy, fractions, indices in zip(x, hull.energy, hull.fractions, hull.indices, strict=True):
        composition = Composition(dict(zip(elements, row, strict=True)))
        assert energy == pytest.approx(diagram.get_hull_energy_per_atom(composition), abs=1e-8)
        theirs = {e.name: f for e, f in diagram.get_decomposition(composition).items()}
        names = [entries[i].name for i in indices]
        assert {n: f for n, f in zip(names, fractions, strict=True) if f > 1e-6} == pytest.approx(theirs, abs=1e-6)
    new = PDEntry(Composition("CoNi2Al"), -5.9 * 4)
    ours = energy_above_hull([0.25, 0.25, 0.5, 0.0], -5.9, points, energies)
    assert float(ours) == pytest.approx(diagram.get_decomp_and_e_above_hull(new, allow_negative=True)[1], abs=1e-8)


def test_a_new_phase_below_the_hull_is_negative():
    points, energies = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], [0.0, 0.0, 0.1]
    assert float(energy_above_hull([0.5, 0.5], -0.3, points, energies)) == pytest.approx(-0.3)
    assert float(energy_above_hull([0.5, 0.5], 0.1, points, energies)) == pytest.approx(0.1)


def test_masks_by_flag_and_by_energy_agree():
    points, energies, x = random_system(5, 400)
    mask = np.random.default_rng(3).random(400) < 0.5
    mask[:5] = True
    by_flag = many(x, points, energies, mask)
    np.testing.assert_allclose(by_flag.energy, highs(x, points[mask], energies[mask]), atol=1e-12)
    for large in (NO_PHASE, np.inf):
        by_energy = many(x, points, np.where(mask, energies, large))
        np.testing.assert_array_equal(by_energy.energy, by_flag.energy)
        np.testing.assert_array_equal(by_energy.indices, by_flag.indices)
    garbage = many(x, points, np.where(mask, energies, np.nan), mask)
    np.testing.assert_array_equal(garbage.energy, by_flag.energy)


@pytest.mark.parametrize("broken", [np.nan, -np.inf])
def test_a_broken_energy_is_not_hidden(broken):
    points, energies, x = random_system(5, 400)
    energies[17] = broken
    hull = many(x, points, energies)
    assert np.all(np.isnan(hull.energy)) and np.all(hull.gap == -np.inf)


def test_vmapped_equals_single_over_candidates_and_members():
    points, energies, x = random_system(5, 400)
    members = energies + 0.05 * np.random.default_rng(5).normal(size=(3, 400))
    with jax.enable_x64(True):
        batched = jax.vmap(jax.vmap(lower_hull, (0, None, None)), (None, None, 0))(x[:4], points, members)
    for m, member in enumerate(members):
        single = many(x, points, member)
        np.testing.assert_allclose(batched.energy[m], single.energy[:4], atol=1e-14)
        np.testing.assert_array_equal(batched.indices[m], single.indices[:4])


def test_laws():
    points, energies, x = random_system(5, 400)
    hull = many(x, points, energies)
    middle = many((x[::2] + x[1::2]).repeat(2, 0) / 2, points, energies).energy[::2]
    assert np.all(middle <= (hull.energy[::2] + hull.energy[1::2]) / 2 + 1e-12)  # convex
    plane = np.arange(5.0)
    np.testing.assert_allclose(many(x, points, energies + points @ plane).energy, hull.energy + x @ plane, atol=1e-12)  # references
    order = np.random.default_rng(0).permutation(5)
    np.testing.assert_allclose(many(x[:, order], points[:, order], energies).energy, hull.energy, atol=1e-12)
    shuffle = np.random.default_rng(0).permutation(400)
    np.testing.assert_allclose(many(x, points[shuffle], energies[shuffle]).energy, hull.energy, atol=1e-12)
    np.testing.assert_allclose(np.sort(hull.chemical_potentials)[:, -1] < 1e-12, True)  # of elements at zero: no mu above them


@pytest.fixture(scope="module")
def smooth():
    """A system, a candidate inside a facet, and directions for x, points and energies."""
    points, energies, x = random_system(4, 200, seed=2)
    rng = np.random.default_rng(7)
    towards = rng.normal(size=4)
    return (x[0], points, energies), (towards - towards.mean(), 0.1 * rng.normal(size=points.shape), rng.normal(size=energies.shape))


def test_gradients_are_the_envelope_theorem(smooth):
    values, _ = smooth
    with jax.enable_x64(True):
        hull = lower_hull(*values)
        gradients = jax.jit(jax.grad(lambda *v: lower_hull(*v).energy, argnums=(0, 1, 2)))(*values)
    dense = np.zeros(len(values[1]))
    dense[np.asarray(hull.indices)] = hull.fractions
    np.testing.assert_allclose(gradients[0], hull.chemical_potentials, atol=1e-12)
    np.testing.assert_allclose(gradients[1], -np.outer(dense, hull.chemical_potentials), atol=1e-12)
    np.testing.assert_allclose(gradients[2], dense, atol=1e-12)


def test_all_gradients_are_the_finite_differences(smooth):
    values, directions = smooth
    weights = np.array([0.3, -1.0, 0.7, 2.0])

    @jax.jit
    def quantities(*v):
        hull = lower_hull(*v)
        return jax.numpy.stack([hull.energy, hull.fractions @ weights, hull.chemical_potentials @ weights])

    with jax.enable_x64(True):
        jacobians = jax.jit(jax.jacrev(quantities, argnums=(0, 1, 2)))(*values)
        for i, (jacobian, direction) in enumerate(zip(jacobians, directions, strict=True)):
            moved = [quantities(*(v + s * 1e-7 * direction if j == i else v for j, v in enumerate(values))) for s in (1, -1)]
            ours = np.sum(np.asarray(jacobian) * direction, axis=tuple(range(1, jacobian.ndim)))
            np.testing.assert_allclose(ours, np.asarray(moved[0] - moved[1]) / 2e-7, rtol=1e-5, atol=1e-6)


def test_second_derivatives(smooth):
    """d² energy / dx denergies = d chemical_potentials / d energies, whichever way it is taken."""
    (x, points, energies), _ = smooth
    weights = np.array([0.3, -1.0, 0.7, 2.0])
    with jax.enable_x64(True):
        slope = lambda e: jax.grad(lambda x: lower_hull(x, points, e).energy)(x) @ weights
        twice = jax.jit(jax.grad(slope))(energies)
        np.testing.assert_allclose(twice, jax.grad(lambda e: lower_hull(x, points, e).chemical_potentials @ weights)(energies), atol=1e-12)
    assert np.abs(twice).max() > 0.1


def test_gradients_are_finite_at_degenerate_points():
    points, energies, _ = random_system(5, 400)
    x = np.array([[0.5, 0.5, 0, 0, 0], [1.0, 0, 0, 0, 0]])
    with jax.enable_x64(True):
        gradient = jax.jit(jax.vmap(jax.grad(lambda *v: lower_hull(*v).energy, argnums=(0, 1, 2)), (0, None, None)))
        gradients = gradient(x, points, energies)
    assert all(np.all(np.isfinite(g)) for g in gradients)


def test_float64_inside_a_float32_caller():
    points, energies, x = (a.astype(np.float32) for a in random_system(5, 400))
    exact = many(*(a.astype(float) for a in (x, points, energies)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hull = jax.jit(jax.vmap(lower_hull, (0, None, None)))(x, points, energies)
        slope = jax.jit(jax.vmap(jax.grad(lambda *v: lower_hull(*v).energy, argnums=(0, 2)), (0, None, None)))(x, points, energies)
    assert hull.energy.dtype == np.float64 and slope[0].dtype == slope[1].dtype == np.float32
    np.testing.assert_allclose(hull.energy, exact.energy, atol=1e-14)
    np.testing.assert_allclose(slope[0], exact.chemical_potentials, rtol=1e-6, atol=1e-6)


def test_decompose_names_the_phases():
    points, energies, names = [[1.0, 0.0], [0.0, 1.0], [0.25, 0.75]], [0.0, 0.0, -0.4], ["Al", "Ni", "Ni3Al"]
    assert decompose([0.4, 0.6], points, energies, names) == [("Ni3Al", pytest.approx(0.8)), ("Al", pytest.approx(0.2))]
    assert decompose([0.25, 0.75], points, energies, names) == [("Ni3Al", pytest.approx(1.0))]


def test_wrong_input():
    with pytest.raises(ValueError, match="2 names for 3 phases"):
        decompose([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], [0.0, 0.0, -0.4], ["Al", "Ni"])
    with pytest.raises(ValueError, match=r"no phase holds element number \[1\]"):
        decompose([0.5, 0.5], [[1.0, 0.0]] * 3, [0.0] * 3, ["Al fcc", "Al bcc", "Al hcp"])
    with pytest.raises(ValueError, match="outside the phases"):
        decompose([0.5, 0.5], [[1.0, 0.0], [0.8, 0.2], [0.6, 0.4]], [0.0] * 3, ["Al", "Al4Ni", "Al3Ni2"])
    with pytest.raises(ValueError, match="vmap"):
        lower_hull(np.eye(2), np.eye(2), np.zeros(2))
