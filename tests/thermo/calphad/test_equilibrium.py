"""Phase equilibria: closed forms of the regular solution, pycalphad on its own databases, derivatives, and what is refused."""

import importlib.util
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.calphad.database import Database, database, solution
from matjax.thermo.calphad.equilibrium import describe, equilibria, follow
from matjax.thermo.host import float64
from matjax.units import BOLTZMANN, ENERGY

OMEGA = 0.15
JOULE = ENERGY["kJ/mol"] / 1000
needs_pycalphad = pytest.mark.skipif(importlib.util.find_spec("pycalphad") is None, reason="pycalphad is not installed")


@pytest.fixture(scope="module")
def regular() -> Database:
    return database([solution("fcc", {"Al": 0.0, "Zn": 0.0}, {("Al", "Zn"): [OMEGA]})], temperature_range=(10.0, 3000.0))


def from_tdb(name: str, elements: tuple[str, ...]) -> Database:
    import pycalphad

    from matjax.thermo.calphad.tdb import read_tdb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_tdb(Path(pycalphad.__file__).parent / "tests" / "databases" / name, elements)


def test_regular_solution_has_the_binodal_of_its_closed_form_up_to_the_critical_point(regular):
    critical = OMEGA / 2 / BOLTZMANN
    share = np.array([0.2, 0.35, 0.62, 0.9, 0.985, 1.001, 1.3])
    found = equilibria(regular, share * critical, [0.47, 0.53])
    assert found.converged.all()
    assert (found.gap >= -1e-7).all()
    assert ((found.phase >= 0).sum(1) == np.where(share < 1, 2, 1)).all()
    x = found.compositions[share < 1, :, 1]
    kt = BOLTZMANN * share[share < 1, None] * critical
    np.testing.assert_allclose(kt * np.log((1 - x) / x), OMEGA * (1 - 2 * x), atol=1e-7)
    np.testing.assert_allclose(x.sum(1), 1, atol=1e-7)
    np.testing.assert_allclose((found.fractions[..., None] * found.compositions).sum(1), found.x, atol=1e-10)


def test_plain_numbers_name_no_temperatures(regular):
    unlimited = database([solution("fcc", {"Al": 0.0, "Zn": 0.0}, {("Al", "Zn"): [OMEGA]})])
    found, same = (equilibria(one, [600.0, 1200.0], [0.5, 0.5]) for one in (unlimited, regular))
    np.testing.assert_allclose(found.energy, same.energy, atol=1e-9)
    np.testing.assert_allclose(found.compositions, same.compositions, atol=1e-6)
    for kelvin in (-5.0, 0.0, 20_000.0, np.nan):
        with pytest.raises(ValueError, match="1 to 10000 K"):
            equilibria(unlimited, kelvin, [0.5, 0.5])


def test_energy_is_the_mean_of_chemical_potentials_and_absent_elements_have_none(regular):
    found = equilibria(regular, 1200.0, [[1.0, 0.0], [0.3, 0.7]])
    kt = BOLTZMANN * 1200.0
    expected = [kt * np.log(0.3) + OMEGA * 0.49, kt * np.log(0.7) + OMEGA * 0.09]
    np.testing.assert_allclose(found.potentials[1], expected, atol=1e-9)
    np.testing.assert_allclose(found.energy, [0.0, np.dot([0.3, 0.7], expected)], atol=1e-9)
    assert found.potentials[0, 1] == -np.inf
    assert describe(regular, found)[0] == "fcc 1 (Al 1)"


def test_follow_has_the_derivatives_of_the_equilibrium(regular):
    point, step = np.array([[0.3, 0.7]]), np.array([[1e-5, -1e-5]])
    found, kt = equilibria(regular, 600.0, point), 1e-3

    def both(t, x, coefficients):
        at = follow(regular.system._replace(coefficients=coefficients), found, t, x)
        return at.potentials, at.fractions, at.energy

    with float64():
        arguments = jnp.asarray(found.temperature), jnp.asarray(found.x), regular.system.coefficients
        values, slopes = both(*arguments), jax.jacrev(both, (0, 1, 2))(*arguments)
        by_t, by_x, by_model = ([row[k] for row in slopes] for k in range(3))
    np.testing.assert_allclose(values[0], found.potentials, atol=1e-10)
    np.testing.assert_allclose(values[1], found.fractions, atol=1e-10)
    up, down = equilibria(regular, 600.0 + kt, point), equilibria(regular, 600.0 - kt, point)
    more, less = equilibria(regular, 600.0, point + step), equilibria(regular, 600.0, point - step)
    for k, name in enumerate(("potentials", "fractions", "energy")):
        shape = getattr(found, name).shape
        slope = np.asarray(by_t[k]).reshape(shape)
        np.testing.assert_allclose(slope, (getattr(up, name) - getattr(down, name)) / 2 / kt, rtol=1e-5, atol=1e-9)
        along = np.asarray(by_x[k]).reshape(*shape, 2) @ [1.0, -1.0]
        np.testing.assert_allclose(along, (getattr(more, name) - getattr(less, name)) / 2e-5, rtol=1e-5, atol=1e-6)
    # The envelope theorem: the energy changes by that of the phases as they are, sum of shares times x1 x2 for the interaction.
    mixed = (found.fractions * found.compositions.prod(-1)).sum()
    row = int(np.argmax(np.abs(np.asarray(regular.system.coefficients)).max((0, 2))))
    np.testing.assert_allclose(np.abs(np.asarray(by_model[2])[0, 0, row]).max(), mixed, rtol=1e-9)


@pytest.mark.parametrize(
    ("temperature", "x", "message"),
    [
        (600.0, [[0.5, 0.6]], "sum to 1"),
        (600.0, [[1.5, -0.5]], ">= 0"),
        (-5.0, [[0.5, 0.5]], "range"),
        (9000.0, [[0.5, 0.5]], "range"),
        (600.0, [[0.5, 0.25, 0.25]], "Al, Zn"),
        ([600.0, 700.0, 800.0], [[0.5, 0.5], [0.4, 0.6]], "temperatures"),
    ],
)
def test_bad_points_are_refused(regular, temperature, x, message):
    with pytest.raises(ValueError, match=message):
        equilibria(regular, temperature, x)


def test_an_element_that_no_phase_holds_is_named():
    lone = database([solution("fcc", {"Al": 0.0, "Zn": 0.0})], elements=("Al", "Zn", "Cu"))
    with pytest.raises(ValueError, match="Cu"):
        equilibria(lone, 600.0, [[0.5, 0.3, 0.2]])


def pycalphad_energies(file: str, elements: tuple[str, str], temperatures, shares) -> np.ndarray:
    import pycalphad
    from pycalphad import variables as v

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pycalphad.Database(str(Path(pycalphad.__file__).parent / "tests" / "databases" / file))
        names = [e.upper() for e in elements]
        found = pycalphad.equilibrium(
            data, [*names, "VA"], sorted(data.phases), {v.T: list(temperatures), v.X(names[1]): list(shares), v.P: 101325, v.N: 1}
        )
    return np.asarray(found.GM).reshape(len(temperatures), len(shares))


@pytest.mark.slow
@needs_pycalphad
@pytest.mark.parametrize(
    ("file", "elements", "temperatures"),
    [
        ("alzn_mey.tdb", ("Al", "Zn"), (400.0, 560.0, 620.0, 700.0)),
        ("alni_dupin_2001.tdb", ("Al", "Ni"), (700.0, 1200.0, 1700.0)),
    ],
)
def test_energies_are_those_of_pycalphad(file, elements, temperatures):
    data, shares = from_tdb(file, elements), np.linspace(0.03, 0.97, 13)
    temperature, x = (a.ravel() for a in np.meshgrid(temperatures, shares, indexing="ij"))
    found = equilibria(data, temperature, np.stack([1 - x, x], 1))
    other = pycalphad_energies(file, elements, temperatures, shares).ravel()
    assert found.converged.all()
    np.testing.assert_allclose(found.energy / JOULE, other, atol=0.01)
    if elements == ("Al", "Zn"):
        point = equilibria(data, 500.0, [0.7, 0.3])
        with float64():
            slope = jax.jacfwd(lambda t: follow(data, point, t, point.x).potentials)(jnp.asarray(point.temperature))
        np.testing.assert_allclose(np.asarray(slope)[0, 1, 0] / JOULE, -55.6955738, atol=1e-6)  # pycalphad's Jansson derivative MU(ZN).T
