import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import GrandPotentialPhaseDiagram, GrandPotPDEntry, PDEntry
from pymatgen.core import Composition, Element
from scipy.optimize import linprog

from matjax.thermo.hull import many_hulls
from matjax.thermo.hull.lower_hull import TOLERANCE
from matjax.thermo.hull.many_hulls import energies_above_hull, lower_hulls, open_system, stabilities_of_entries


def system(n_element=4, n=60, n_set=(2, 2), seed=0):
    rng = np.random.default_rng(seed)
    points = np.concatenate([np.eye(n_element), rng.multinomial(12, rng.dirichlet(np.full(n_element, 0.6), n - n_element)) / 12])
    energies = -1.2 * (1 - (points**2).sum(1)) + 0.1 * rng.normal(size=(*n_set, n)) * (points.max(1) < 1)
    return points, energies, rng.dirichlet(np.ones(n_element), 9)


def highs(x, points, energies):
    solution = linprog(energies, A_eq=points.T, b_eq=x, bounds=(0, None), method="highs")
    return (solution.fun, solution.eqlin.marginals, solution.x) if solution.status == 0 else (np.nan, None, None)


def test_members_and_temperatures_in_one_call_agree_with_highs():
    points, energies, x = system()
    energy = np.linspace(-1, 0, 9)
    above = energies_above_hull(x, energy, points, energies, chunk=4)
    assert above.value.shape == (2, 2, 9) and above.hull.fractions.shape == (2, 2, 9, 4)
    assert np.all(np.asarray(above.hull.gap) >= -TOLERANCE)
    for i in np.ndindex(2, 2):
        for j, row in enumerate(x):
            value, potentials, _ = highs(row, points, energies[i])
            assert float(above.value[(*i, j)]) == pytest.approx(energy[j] - value, abs=1e-12)
            # the dual of x, up to the constant that sum(x) = 1 leaves open: none here, as the pure elements are in the set
            np.testing.assert_allclose(np.asarray(above.hull.chemical_potentials)[(*i, j)], np.asarray(potentials), atol=1e-9)


def test_facets_and_searches_agree(monkeypatch):
    points, energies, _ = system()
    x = np.random.default_rng(5).dirichlet(np.ones(4), 50)
    seen = []
    monkeypatch.setattr(many_hulls, "FEW", 10)
    facets = energies_above_hull(x, np.zeros(50), points, energies, progress=lambda *at: seen.append(at))
    assert seen == [(50, 200), (100, 200), (150, 200), (200, 200)]
    monkeypatch.setattr(many_hulls, "FEW", 100)
    searched = energies_above_hull(x, np.zeros(50), points, energies, chunk=20, progress=lambda *at: seen.append(at))
    assert seen[4:7] == [(20, 200), (40, 200), (50, 200)] and seen[-1] == (200, 200)
    assert np.all(np.asarray(facets.hull.n_pivot) == 0) and np.asarray(searched.hull.n_pivot).max() > 0
    np.testing.assert_allclose(facets.value, searched.value, atol=1e-12)


def test_candidates_of_few_among_many_elements():
    """Twelve elements, three in a candidate: searched in its own elements, with the same answer."""
    rng = np.random.default_rng(2)
    chosen = np.array([rng.choice(12, 3, replace=False) for _ in range(78)])
    sparse = np.zeros((78, 12))
    np.put_along_axis(sparse, chosen, rng.multinomial(6, np.ones(3) / 3, 78) / 6, 1)
    points = np.concatenate([np.eye(12), sparse[9:]])
    energies = -(1 - (points**2).sum(1)) * rng.uniform(0.5, 1, len(points)) - points @ np.arange(12.0)
    x = sparse[:9]
    few, full = lower_hulls(x, points, energies), lower_hulls(x, points, energies, n_present=12)
    np.testing.assert_allclose(few.energy, full.energy, atol=1e-12)
    np.testing.assert_allclose(few.energy, [highs(row, points, energies)[0] for row in x], atol=1e-10)
    np.testing.assert_allclose(np.einsum("mk,mki->mi", few.fractions, points[np.asarray(few.indices)]), x, atol=1e-12)
    unknown = np.isnan(few.chemical_potentials)
    assert np.all(unknown.sum(1) == 9) and np.all(x[unknown] == 0)
    assert np.all(np.isnan(lower_hulls(np.full((1, 12), 1 / 12), points, energies, n_present=3).energy))


@pytest.mark.parametrize("by_facets", [True, False])
def test_each_entry_against_the_others(by_facets, monkeypatch):
    monkeypatch.setattr(many_hulls, "FEW", 1 if by_facets else 10**6)
    points, energies, _ = system(n_set=())
    points[20], energies[20] = points[10], energies[10] - 1.0
    points[21], energies[21] = points[20], energies[20]  # equal phases on the hull
    found = np.asarray(stabilities_of_entries(points, energies, chunk=16))
    for i in range(60):
        others = np.arange(60) != i
        value = highs(points[i], points[others], energies[others])[0]
        assert found[i] == pytest.approx(energies[i] - value, abs=1e-10, nan_ok=True)
    assert found[20] == found[21] == 0 or abs(found[20]) < 1e-12
    assert (found < -1e-3).any() and (found > 1e-3).any()
    alone = np.array([points[:, i].max() == 1 and (points[:, i] == 1).sum() == 1 for i in range(4)])
    np.testing.assert_array_equal(np.isnan(found[:4]), alone)


def test_open_systems_are_the_grand_potential_diagram_of_pymatgen():
    symbols = ("Li", "Fe", "P", "O")
    points, energies, x = system(n_set=())
    x = np.random.default_rng(1).multinomial(12, [0.25] * 4, 9) / 12
    x = x[x[:, 3] < 0.9]
    compose = lambda row: Composition({s: round(12 * f) for s, f in zip(symbols, row, strict=True) if f > 0})
    entries = [PDEntry(compose(row), 12 * e) for row, e in zip(points, energies, strict=True)]
    mu = -0.7
    diagram = GrandPotentialPhaseDiagram(entries, {Element("O"): mu}, elements=[Element(s) for s in symbols])
    phases, mine = open_system(points, energies, [3], [mu]), open_system(x, np.zeros(len(x)), [3], [mu])
    above = energies_above_hull(mine.points, mine.energies, *phases)
    for row, value in zip(x, above.value, strict=True):
        theirs = diagram.get_e_above_hull(GrandPotPDEntry(PDEntry(compose(row), 0.0), {Element("O"): mu}), allow_negative=True)
        assert float(value) == pytest.approx(theirs, abs=1e-8)
    assert not bool(phases.mask[3]) and np.isfinite(phases.energies).all()
    with pytest.raises(ValueError, match="give one each"):
        open_system(points, energies, [3, 2], [mu])


def test_gradients_in_all_forms_are_finite_differences():
    points, energies, x = system(n_set=(2,), n=30)
    rng = np.random.default_rng(3)
    points[4:] = 0.8 * points[4:] + 0.2 * rng.dirichlet(np.ones(4), len(points) - 4)  # room to move, and none on an edge between others
    weights, pushed = rng.normal(size=(2, 9)), rng.normal(size=points.shape)
    pushed -= pushed.mean(1, keepdims=True)
    pushed[:4] = 0
    inner = x @ (0.8 * np.eye(4) + 0.05)

    @jax.jit
    def value(x, points, energies):
        new = energies_above_hull(x, jnp.sum(x**2, 1), points, energies).value
        opened, mine = open_system(points, energies, [2], [-0.3]), open_system(x, jnp.sum(x**2, 1), [2], [-0.3])
        grand = energies_above_hull(mine.points, mine.energies, *opened).value
        entries = stabilities_of_entries(points, energies[0])  # NaN for the elements alone: all else stays inside their hull
        return jnp.stack([jnp.sum(weights * new), jnp.sum(weights * grand), jnp.sum(jnp.where(jnp.isnan(entries), 0, entries))])

    along = (rng.normal(size=x.shape), pushed, rng.normal(size=energies.shape))
    along = (along[0] - along[0].mean(1, keepdims=True), *along[1:])
    with jax.enable_x64(True):
        at = tuple(jnp.asarray(v) for v in (inner, points, energies))
        slopes = jax.jit(jax.jacrev(value, argnums=(0, 1, 2)))(*at)
        for i, direction in enumerate(along):
            ours = np.sum(np.asarray(slopes[i]) * direction, axis=tuple(range(1, slopes[i].ndim)))
            up, down = (value(*(v + s * 1e-7 * direction if i == j else v for j, v in enumerate(at))) for s in (1, -1))
            np.testing.assert_allclose(ours, np.asarray(up - down) / 2e-7, rtol=1e-5, atol=1e-5)


def test_a_broken_member_is_nan_alone():
    points, energies, x = system(n_set=(2,))
    energies[1, 7] = np.nan
    above = energies_above_hull(x, np.zeros(9), points, energies)
    np.testing.assert_array_equal(np.isnan(above.value), [[False] * 9, [True] * 9])
    assert np.all(np.asarray(above.hull.gap)[1] == -np.inf)
    with pytest.raises(ValueError, match="energy"):
        energies_above_hull(x, np.zeros(8), points, energies)
    with pytest.raises(ValueError, match="hulls take"):
        lower_hulls(x, points, energies[:, 1:])
    with pytest.raises(ValueError, match="at least one"):
        lower_hulls(x[:0], points, energies)
