"""The landscape meets its data, has the elements' lowest lattices as zero, and complains of what is missing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.alloy.landscape import MEMBERS, Points, Surfaces, landscape
from matjax.thermo.alloy.solution import evaluate


def test_elements_lowest_lattices_are_zero(random_data):
    elements, mass, solutions, compounds = random_data(4, 0)
    got = landscape(elements, mass, solutions, compounds)
    pure = np.asarray(evaluate(got.enthalpy, np.eye(4)))
    own = np.array([[solutions.enthalpy[(solutions.lattice == k) & (solutions.x[:, i] == 1)][0] for i in range(4)] for k in range(3)])
    np.testing.assert_allclose(pure.min(0), 0, atol=1e-12)
    np.testing.assert_allclose(pure, own - own.min(0), atol=1e-5)
    np.testing.assert_allclose(got.reference, own.min(0), atol=1e-5)
    np.testing.assert_allclose(got.compound_enthalpy, compounds.enthalpy - compounds.x @ own.min(0), atol=1e-5)


def test_surfaces_meet_their_data_lattice_by_lattice(random_data):
    elements, mass, solutions, compounds = random_data(3, 1)
    got = landscape(elements, mass, solutions, compounds)
    for k in range(3):
        mine = solutions.lattice == k
        raw = np.asarray(evaluate(got.enthalpy, solutions.x[mine]))[k] + solutions.x[mine] @ np.asarray(got.reference)
        np.testing.assert_allclose(raw, solutions.enthalpy[mine], atol=0.02)
        np.testing.assert_allclose(np.exp(evaluate(got.log_bulk, solutions.x[mine]))[k], solutions.bulk[mine], rtol=0.05)
        np.testing.assert_allclose(np.exp(evaluate(got.log_volume, solutions.x[mine]))[k], solutions.volume[mine], rtol=0.01)


def test_energy_convention_does_not_matter(random_data):
    elements, mass, solutions, compounds = random_data(3, 2)
    shift = np.array([5.0, -2.0, 1.0])
    moved = [p._replace(enthalpy=p.enthalpy + p.x @ shift) for p in (solutions, compounds)]
    first, second = landscape(elements, mass, solutions, compounds), landscape(elements, mass, *moved)
    np.testing.assert_allclose(first.enthalpy.mean, second.enthalpy.mean, atol=1e-5)
    np.testing.assert_allclose(first.compound_enthalpy, second.compound_enthalpy, atol=1e-5)


def test_members_are_landscapes_of_their_own(random_data):
    elements, mass, solutions, compounds = random_data(3, 3, n_member=2)
    both = landscape(elements, mass, solutions, compounds)
    one = landscape(elements, mass, *(Points(p.lattice, p.x, *(y[1] for y in p[2:])) for p in (solutions, compounds)))
    picked = jax.vmap(lambda member: member, in_axes=(MEMBERS,))(both)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, atol=1e-9), picked, one)


def test_unknown_data_say_nothing_and_compounds_take_the_solutions_moduli(random_data):
    elements, mass, solutions, compounds = random_data(3, 4)
    unknown = (solutions.x.max(1) < 1) & (np.arange(len(solutions.x)) % 2 == 0)
    shear = np.where(unknown, np.nan, solutions.shear)
    got = landscape(elements, mass, solutions._replace(shear=shear), compounds)
    assert np.isfinite(got.log_shear.mean).all()
    expected = np.asarray(evaluate(got.log_shear, compounds.x))[0]
    np.testing.assert_allclose(got.compound_log_shear, expected, atol=1e-12)
    other = landscape(elements, mass, solutions._replace(shear=np.where(unknown, 9.0, solutions.shear)), compounds)
    assert np.abs(other.log_shear.mean - got.log_shear.mean).max() > 0.1


def test_moduli_below_the_floor_count_as_the_floor(random_data):
    elements, mass, solutions, compounds = random_data(2, 5)
    soft, floor = solutions.bulk.copy(), Surfaces().bulk_floor
    soft[0] = -3.0
    got = landscape(elements, mass, solutions._replace(bulk=soft), compounds)
    assert float(np.exp(evaluate(got.log_bulk, np.eye(2))[0, 0])) == pytest.approx(floor, rel=0.05)


def test_gradient_with_respect_to_enthalpies(random_data):
    elements, mass, solutions, compounds = random_data(3, 6)

    def loss(enthalpy):
        got = landscape(elements, mass, solutions._replace(enthalpy=enthalpy), compounds)
        return (got.enthalpy.mean**2).sum() + (got.compound_enthalpy**2).sum()

    with jax.enable_x64(True):
        start = jnp.asarray(solutions.enthalpy)
        slope = jax.grad(loss)(start)
        for i in (0, 5, 20):
            step = 1e-5 * (jnp.arange(len(start)) == i)
            assert float(slope[i]) == pytest.approx(float(loss(start + step) - loss(start - step)) / 2e-5, rel=1e-4)


def test_a_missing_reference_is_named(random_data):
    elements, mass, solutions, compounds = random_data(3, 7)
    keep = ~((solutions.lattice == 1) & (solutions.x[:, 2] == 1))
    fewer = Points(*(y[keep] for y in solutions))
    with pytest.raises(ValueError, match="no reference energy of Cr on bcc"):
        landscape(elements, mass, fewer, compounds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p._replace(bulk=p.bulk[:-1]), "shapes of the solution data disagree: bulk"),
        (lambda p: p._replace(x=p.x * 1.1), "composition of solution 0"),
        (lambda p: p._replace(lattice=p.lattice + 1), "lattice of a solution"),
        (lambda p: p._replace(volume=p.volume * np.nan), "no solution has a known volume"),
    ],
)
def test_bad_data_are_refused(random_data, change, message):
    elements, mass, solutions, compounds = random_data(2, 8)
    with pytest.raises(ValueError, match=message):
        landscape(elements, mass, change(solutions), compounds)


def test_a_compound_without_enthalpy_is_refused(random_data):
    elements, mass, solutions, compounds = random_data(2, 9)
    with pytest.raises(ValueError, match="enthalpy of compound 0 is unknown"):
        landscape(elements, mass, solutions, compounds._replace(enthalpy=compounds.enthalpy * np.nan))
