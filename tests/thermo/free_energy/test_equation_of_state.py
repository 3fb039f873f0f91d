import jax
import numpy as np
import pytest
from ase.eos import EquationOfState as AseEquationOfState
from scipy.integrate import quad
from scipy.optimize import curve_fit

from matjax.thermo.free_energy.equation_of_state import BirchMurnaghan, Vinet, bulk_modulus, fit_equation_of_state, pressure

VOLUMES = np.linspace(14.5, 19.0, 9)
NOISE = 1e-3 * np.random.default_rng(0).normal(size=9)
TRUE = (-3.7, 16.5, 0.48, 4.7)
FORMS = [("birch_murnaghan", BirchMurnaghan), ("vinet", Vinet)]

_fit = {form: jax.jit(lambda e, form=form: jax.numpy.stack(fit_equation_of_state(VOLUMES, e, form)[:4])) for form, _ in FORMS}


def points(curve):
    return np.asarray(curve(*TRUE, 0.0, 1.0)(0.0, VOLUMES))


@pytest.mark.parametrize(("form", "curve"), FORMS)
def test_exact_points_give_the_curve_back(form, curve):
    fitted = fit_equation_of_state(VOLUMES, points(curve), form)
    np.testing.assert_allclose(np.array(fitted[:4]), TRUE, rtol=1e-9)
    assert float(fitted.lowest) == VOLUMES[0] and float(fitted.highest) == VOLUMES[-1]


@pytest.mark.parametrize(("form", "curve"), FORMS)
def test_attributes_are_derivatives_of_the_curve(form, curve):
    exact = curve(*TRUE, 14.0, 19.0)
    assert abs(float(pressure(exact, 16.5))) < 1e-15
    assert float(bulk_modulus(exact, 16.5)) == pytest.approx(0.48, rel=1e-12)
    step = 0.01
    by_pressure = np.diff([float(bulk_modulus(exact, v)) for v in (16.5 - step, 16.5 + step)])
    by_pressure /= np.diff([float(pressure(exact, v)) for v in (16.5 - step, 16.5 + step)])
    assert by_pressure[0] == pytest.approx(4.7, rel=1e-5)
    work, _ = quad(lambda v: float(pressure(exact, v)), 15.0, 18.0, epsrel=1e-8)
    assert work == pytest.approx(float(exact(0.0, 15.0) - exact(0.0, 18.0)), rel=1e-8)


@pytest.mark.parametrize(("form", "curve", "name"), [(*FORMS[0], "birchmurnaghan"), (*FORMS[1], "vinet")])
def test_noisy_points_are_fitted_as_ase_and_scipy_do(form, curve, name):
    energies = points(BirchMurnaghan) + NOISE
    ours = fit_equation_of_state(VOLUMES, energies, form)
    volume, energy, bulk = AseEquationOfState(VOLUMES, energies, name).fit()
    np.testing.assert_allclose(np.array([ours.volume, ours.energy, ours.bulk]), [volume, energy, bulk], rtol=1e-5)
    theirs, _ = curve_fit(lambda v, *p: np.asarray(curve(*p, 0.0, 1.0)(0.0, v)), VOLUMES, energies, TRUE, xtol=1e-14)
    np.testing.assert_allclose(np.array(ours[:4]), theirs, rtol=1e-5)


@pytest.mark.parametrize("form", [form for form, _ in FORMS])
def test_gradient_to_the_energies(form):
    energies = points(BirchMurnaghan) + NOISE
    with jax.enable_x64(True):
        jacobian = np.asarray(jax.jacrev(_fit[form])(energies))
        differences = [(_fit[form](energies + d) - _fit[form](energies - d)) / 2e-6 for d in 1e-6 * np.eye(9)]
    np.testing.assert_allclose(jacobian, np.stack(differences, -1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", [form for form, _ in FORMS])
def test_no_minimum_inside_is_nan(form):
    energies = points(BirchMurnaghan)
    cases = {"upside down": -energies, "falls throughout": -VOLUMES, "not a number": np.where(VOLUMES > 18, np.nan, energies)}
    shifted = np.asarray(BirchMurnaghan(-3.7, 21.0, 0.48, 4.7, 0.0, 1.0)(0.0, VOLUMES))
    for name, values in (cases | {"minimum beyond": shifted}).items():
        assert np.isnan(np.asarray(fit_equation_of_state(VOLUMES, values, form)[:4])).all(), name


def test_members_are_rows():
    energies = np.stack([points(BirchMurnaghan), points(BirchMurnaghan) + NOISE])
    both = fit_equation_of_state(VOLUMES, energies)
    assert np.shape(both.volume) == (2,)
    np.testing.assert_allclose(np.array(both[:4])[:, 1], np.array(fit_equation_of_state(VOLUMES, energies[1])[:4]), rtol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="at least 5"):
        fit_equation_of_state(VOLUMES[:4], VOLUMES[:4])
    with pytest.raises(ValueError, match="one energy per volume"):
        fit_equation_of_state(VOLUMES, VOLUMES[:6])
    with pytest.raises(ValueError, match="birch_murnaghan, vinet"):
        fit_equation_of_state(VOLUMES, VOLUMES, "murnaghan")  # type: ignore[arg-type]
