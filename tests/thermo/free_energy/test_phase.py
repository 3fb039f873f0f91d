import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy.optimize import minimize_scalar

from matjax.thermo import configurational_entropy, sublattice_entropy
from matjax.thermo.free_energy.einstein import Einstein
from matjax.thermo.free_energy.electronic import Sommerfeld
from matjax.thermo.free_energy.equation_of_state import BirchMurnaghan, fit_equation_of_state
from matjax.thermo.free_energy.gruneisen import DebyeGruneisen
from matjax.thermo.free_energy.magnetic import above_ferromagnet, magnetic_free_energy
from matjax.thermo.free_energy.parts import EnergyOfVolume, MagneticDisorder, MagneticOrder, RandomMixing, StaticEnergy, SublatticeMixing
from matjax.thermo.free_energy.phase import Phase, equilibrium_volume, gibbs

CURVE = BirchMurnaghan(-3.7, 16.5, 0.48, 4.7, 14.0, 20.0)
VIBRATIONAL = DebyeGruneisen(400.0, 16.5, 2.1)
PHASE = Phase(static=CURVE, vibrational=VIBRATIONAL, electronic=Sommerfeld(0.4))

_gibbs = jax.jit(gibbs)
_gradient = jax.jit(jax.grad(gibbs, argnums=(0, 1, 2)))


def test_a_phase_is_the_sum_of_its_parts():
    parts = {"static": CURVE, "vibrational": VIBRATIONAL, "electronic": Sommerfeld(0.4), "configurational": RandomMixing([0.5, 0.5])}
    phase = Phase(**parts)
    total = sum(float(part(700.0, 16.0)) for part in parts.values())
    assert float(phase(700.0, 16.0)) == pytest.approx(total, rel=1e-14)
    assert phase.names == tuple(parts)
    assert float(phase.only("static")(700.0, 16.0)) == float(CURVE(0.0, 16.0))
    assert phase.without("static", "configurational").names == ("vibrational", "electronic")
    with pytest.raises(ValueError, match="'magnetic'"):
        phase.without("magnetic")


def test_parts():
    assert float(RandomMixing([0.2, 0.8])(500.0, 1.0)) == pytest.approx(-500 * float(configurational_entropy([0.2, 0.8])), rel=1e-14)
    occupancy, sites = [[0.5, 0.5], [1.0, 0.0]], [1.0, 3.0]
    assert float(SublatticeMixing(occupancy, sites)(500.0, 1.0)) == pytest.approx(
        -500 * float(sublattice_entropy(occupancy, sites)), rel=1e-14
    )
    iron = 1043.0, 2.22, 0.40
    with jax.enable_x64(True):
        expected = float(magnetic_free_energy(800.0, *iron)), float(above_ferromagnet(800.0, *iron))
    assert (float(MagneticOrder(*iron)(800.0, 1.0)), float(MagneticDisorder(*iron)(800.0, 1.0))) == pytest.approx(expected, rel=1e-13)


def test_magnetic_order_is_not_counted_twice():
    iron = 1043.0, 2.22, 0.40
    assert Phase(static=CURVE, magnetic=MagneticDisorder(*iron), has_moments=True).names == ("static", "magnetic")
    assert Phase(static=CURVE, magnetic=MagneticOrder(*iron), has_moments=False).without("magnetic").names == ("static",)
    for part, has_moments in ((MagneticOrder, True), (MagneticDisorder, False), (MagneticDisorder, None)):
        with pytest.raises(ValueError, match="twice"):
            Phase(static=CURVE, magnetic=part(*iron), has_moments=has_moments)


@pytest.mark.parametrize(("temperature", "pressure"), [(0.0, 0.0), (300.0, 0.02), (1200.0, 0.005)])
def test_volume_is_that_of_scipys_minimum(temperature, pressure):
    total = lambda v: float(PHASE(temperature, v)) + pressure * v
    expected = minimize_scalar(total, bounds=(14.5, 19.5), method="bounded", options={"xatol": 1e-9})
    assert float(equilibrium_volume(PHASE, temperature, pressure)) == pytest.approx(expected.x, rel=1e-7)
    assert float(gibbs(PHASE, temperature, pressure)) == pytest.approx(expected.fun, rel=1e-13)


def test_derivatives_pass_through_the_volume():
    with jax.enable_x64(True):
        by_phase, by_t, by_p = _gradient(PHASE, 600.0, 0.01)
        shifted = lambda d: PHASE.__class__(static=CURVE._replace(bulk=0.48 + d), vibrational=VIBRATIONAL, electronic=Sommerfeld(0.4))
        differences = [
            float(_gibbs(shifted(1e-5), 600.0, 0.01) - _gibbs(shifted(-1e-5), 600.0, 0.01)) / 2e-5,
            float(_gibbs(PHASE, 600.1, 0.01) - _gibbs(PHASE, 599.9, 0.01)) / 0.2,
            float(_gibbs(PHASE, 600.0, 0.01 + 1e-5) - _gibbs(PHASE, 600.0, 0.01 - 1e-5)) / 2e-5,
        ]
        assert [float(by_phase.static.bulk), float(by_t), float(by_p)] == pytest.approx(differences, rel=1e-6)
        assert float(by_p) == pytest.approx(float(equilibrium_volume(PHASE, 600.0, 0.01)), rel=1e-12)


def test_no_minimum_is_nan_with_nan_derivatives():
    phase = PHASE.__class__(static=CURVE._replace(highest=17.0), vibrational=VIBRATIONAL, electronic=Sommerfeld(0.4))
    with jax.enable_x64(True):
        assert np.isfinite(float(_gibbs(phase, 300.0, 0.0)))
        assert np.isnan(float(_gibbs(phase, 1500.0, 0.0)))  # it would lie at 17.5 Å³, beyond the data
        assert np.isnan(float(_gradient(phase, 1500.0, 0.0)[1]))
        assert np.isnan(float(_gibbs(PHASE, -1.0, 0.0)))
        broken = Phase(static=CURVE._replace(bulk=np.nan), vibrational=VIBRATIONAL, electronic=Sommerfeld(0.4))
        assert np.isnan(float(_gibbs(broken, 300.0, 0.0)))


def test_held_and_missing_volumes():
    held = PHASE.at(17.0)
    assert float(gibbs(held, 500.0, 0.01)) == pytest.approx(float(PHASE(500.0, 17.0)) + 0.17, rel=1e-14)
    number = Phase(static=StaticEnergy(-0.3), vibrational=Einstein(300.0))
    assert float(gibbs(number, 500.0)) == pytest.approx(-0.3 + float(Einstein(300.0)(500.0, 0.0)), rel=1e-14)
    with pytest.raises(ValueError, match=r"at\(volume\)"):
        gibbs(number, 500.0, 0.01)
    with pytest.raises(ValueError, match="equation of state"):
        gibbs(Phase(static=StaticEnergy(-0.3), vibrational=VIBRATIONAL), 500.0)


def test_members_and_gradients_to_what_made_the_energies():
    """Weights -> energies of volumes -> equation of state -> relaxed Gibbs energy, a member per row, as a network's would."""
    volumes = np.linspace(14.5, 19.5, 9)
    energies = lambda weights: weights[0] + weights[1] * (volumes - 16.5 - weights[2]) ** 2 * (1 - 0.05 * (volumes - 16.5))

    def of_member(weights):
        return gibbs(Phase(static=fit_equation_of_state(volumes, energies(weights)), vibrational=VIBRATIONAL), 400.0, 0.01)

    with jax.enable_x64(True):
        members = jnp.array([[-3.7, 0.015, 0.0], [-3.6, 0.014, 0.1]])
        values, gradients = jax.jit(jax.vmap(jax.value_and_grad(of_member)))(members)
        scalar = jax.jit(of_member)
        np.testing.assert_allclose(values, [scalar(w) for w in members], rtol=1e-12)
        differences = [(scalar(members[1] + d) - scalar(members[1] - d)) / 2e-6 for d in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(gradients[1], differences, rtol=1e-6)


def test_any_function_of_volume_is_a_static_energy():
    parabola = EnergyOfVolume(Partial(lambda weights, v: weights["depth"] + 0.02 * (v - 16.0) ** 2, {"depth": -1.0}), 14.0, 18.0)
    assert float(gibbs(Phase(static=parabola), 300.0, 0.04)) == pytest.approx(-1 + 0.02 + 0.04 * 15.0, rel=1e-13)
