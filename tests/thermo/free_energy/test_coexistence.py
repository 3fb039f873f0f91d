import jax
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy.optimize import brentq

from matjax.thermo.free_energy.coexistence import REASONS, coexistence_pressure, coexistence_temperature
from matjax.thermo.free_energy.einstein import Einstein
from matjax.thermo.free_energy.equation_of_state import BirchMurnaghan
from matjax.thermo.free_energy.gruneisen import DebyeGruneisen
from matjax.thermo.free_energy.parts import StaticEnergy
from matjax.thermo.free_energy.phase import Phase, gibbs

LOW = Phase(static=BirchMurnaghan(-3.70, 16.5, 0.48, 4.7, 14.0, 20.0), vibrational=DebyeGruneisen(380.0, 16.5, 2.0))
HIGH = Phase(static=BirchMurnaghan(-3.67, 16.8, 0.45, 4.7, 14.0, 20.0), vibrational=DebyeGruneisen(330.0, 16.8, 2.0))


def linear(energy, entropy, temperature, pressure):
    return energy - entropy * temperature


def test_closed_form_and_its_derivative():
    flat = lambda temperature, pressure: 0 * temperature
    of = lambda energy: coexistence_temperature(flat, Partial(linear, energy, 1e-4), 200.0, 2000.0)
    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(lambda energy: of(energy).temperature)(0.1)
        assert (float(value), float(slope)) == pytest.approx((1000.0, 1e4), rel=1e-12)
        found = of(0.1)
        assert (float(found.entropy), float(found.enthalpy)) == pytest.approx((1e-4, 0.1), rel=1e-12)
        assert REASONS[int(of(0.5).status)].startswith("the first") and np.isnan(float(of(0.5).temperature))
        assert REASONS[int(of(-0.5).status)].startswith("the second")


def test_the_lowest_of_several_and_unknown_ranges():
    flat = lambda temperature, pressure: 0 * temperature
    bent = lambda temperature, pressure: (temperature - 500.0) * (temperature - 1500.0) * 1e-6
    found = coexistence_temperature(flat, bent, 100.0, 2000.0)
    assert float(found.temperature) == pytest.approx(500.0, rel=1e-12) and int(found.n_crossing) == 2
    cut = lambda temperature, pressure: jax.numpy.where(temperature < 700, np.nan, bent(temperature, pressure))
    assert float(coexistence_temperature(flat, cut, 100.0, 2000.0).temperature) == pytest.approx(1500.0, rel=1e-12)
    known = coexistence_temperature(flat, cut, 100.0, 1200.0)
    assert np.isnan(float(known.temperature)) and "part of the range" in REASONS[int(known.status)]


def test_phases_meet_where_their_gibbs_energies_do():
    found = coexistence_temperature(LOW, HIGH, 300.0, 1300.0)
    both = np.linspace(300.0, 1300.0, 3)
    assert np.all(np.isfinite(gibbs(LOW, both))) and int(found.n_crossing) == 1
    expected = brentq(lambda t: float(gibbs(HIGH, t) - gibbs(LOW, t)), 300.0, 1300.0, xtol=1e-9)
    assert float(found.temperature) == pytest.approx(expected, abs=1e-6)
    assert float(found.volume) > 0 and float(found.entropy) > 0


@pytest.mark.slow
def test_clapeyron():
    """The derivative of the transition temperature by pressure is dV/dS, and the pressure at that temperature is the same point."""
    with jax.enable_x64(True):
        of = lambda pressure: coexistence_temperature(LOW, HIGH, 300.0, 1300.0, pressure)
        found, slope = of(0.002), jax.jacfwd(lambda pressure: of(pressure).temperature)(0.002)
        assert float(slope) == pytest.approx(float(found.slope), rel=1e-10)
        back = coexistence_pressure(LOW, HIGH, 0.0, 0.01, found.temperature)
    assert float(back.pressure) == pytest.approx(0.002, rel=1e-10)
    assert float(back.slope) == pytest.approx(float(found.slope), rel=1e-9)


def test_phases_without_volume():
    first, second = (Phase(static=StaticEnergy(e), vibrational=Einstein(t)) for e, t in ((-3.7, 300.0), (-3.65, 250.0)))
    found = coexistence_temperature(first, second, 200.0, 2000.0)
    difference = lambda t: float(gibbs(second, t) - gibbs(first, t))
    assert float(found.temperature) == pytest.approx(brentq(difference, 200.0, 2000.0, xtol=1e-10), rel=1e-9)
    assert np.isnan(float(found.volume)) and np.isnan(float(found.slope))
    with pytest.raises(ValueError, match="pressure"):
        coexistence_temperature(first, second, 200.0, 2000.0, 0.1)
