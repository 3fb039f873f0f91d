import jax
import numpy as np
import pytest

from matjax.thermo import debye_free_energy, debye_temperature, debye_temperature_from_bulk
from matjax.thermo.free_energy.equation_of_state import BirchMurnaghan, bulk_modulus, pressure
from matjax.thermo.free_energy.gruneisen import RULES, DebyeGruneisen, debye_gruneisen, debye_gruneisen_from_bulk, gruneisen_parameter

CURVE = BirchMurnaghan(-3.7, 16.5, 0.48, 4.7, 14.0, 19.0)


@pytest.mark.parametrize(("rule", "order"), [("slater", 0), ("dugdale_macdonald", 1), ("vashchenko_zubarev", 2)])
def test_rules_are_the_derivatives_that_define_them(rule, order):
    """Gamma = (t - 2)/3 - (V/2) (P V^(2t/3))'' / (P V^(2t/3))' at the minimum."""
    scaled = lambda v: pressure(CURVE, v) * v ** (2 * order / 3)
    with jax.enable_x64(True):
        first, second = float(jax.grad(scaled)(16.5)), float(jax.grad(jax.grad(scaled))(16.5))
    assert float(gruneisen_parameter(4.7, rule)) == pytest.approx((order - 2) / 3 - 16.5 / 2 * second / first, rel=1e-10)


def test_slater_follows_the_bulk_modulus():
    """Theta goes as V^(1/6) B(V)^(1/2) where the Poisson ratio stays: Slater's gamma is its slope."""
    with jax.enable_x64(True):
        volume = 16.5
        log_theta = lambda u: u / 6 + jax.numpy.log(bulk_modulus(CURVE, jax.numpy.exp(u))) / 2
        slope = float(jax.grad(log_theta)(np.log(volume)))
    assert float(gruneisen_parameter(4.7, "slater")) == pytest.approx(-slope, rel=1e-10)


def test_from_moduli():
    full, metal = debye_gruneisen(CURVE, 0.17, 26.98), debye_gruneisen_from_bulk(CURVE, 26.98, "dugdale_macdonald")
    assert float(full.theta) == float(debye_temperature(0.48, 0.17, 16.5, 26.98))
    assert float(metal.theta) == float(debye_temperature_from_bulk(0.48, 16.5, 26.98))
    assert float(full.gamma - metal.gamma) == pytest.approx(RULES["dugdale_macdonald"] - RULES["slater"])


def test_theta_falls_with_volume():
    part = DebyeGruneisen(400.0, 16.0, 2.0)
    assert float(part(300.0, 16.0)) == float(debye_free_energy(300.0, 400.0))
    assert float(part(300.0, 32.0)) == pytest.approx(float(debye_free_energy(300.0, 100.0)), rel=1e-14)


def test_unknown_rule():
    with pytest.raises(ValueError, match="slater"):
        gruneisen_parameter(4.0, "mie")  # type: ignore[arg-type]
