import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matjax.thermo.free_energy.einstein import Einstein
from matjax.thermo.free_energy.electronic import Sommerfeld
from matjax.thermo.free_energy.equation_of_state import BirchMurnaghan
from matjax.thermo.free_energy.gruneisen import DebyeGruneisen
from matjax.thermo.free_energy.parts import StaticEnergy
from matjax.thermo.free_energy.phase import Phase, gibbs
from matjax.thermo.free_energy.properties import Properties, properties, table, why_not
from matjax.units import BOLTZMANN


def phase_of(bulk, slope, theta, gamma, density):
    curve = BirchMurnaghan(-3.7, 16.5, bulk, slope, 13.0, 23.0)
    return Phase(static=curve, vibrational=DebyeGruneisen(theta, 16.5, gamma), electronic=Sommerfeld(density))


PHASE = phase_of(0.48, 4.7, 400.0, 2.1, 0.4)
parameters = st.tuples(
    st.floats(0.3, 1.5), st.floats(3.5, 5.5), st.floats(150.0, 600.0), st.floats(1.0, 2.5), st.floats(0.0, 2.0)
)  # fmt: skip

_scalar = jax.jit(lambda phase, at: gibbs(phase, at[0], at[1]))
_gradient = jax.jit(jax.grad(lambda phase, at: gibbs(phase, at[0], at[1]), argnums=1))
_hessian = jax.jit(jax.hessian(lambda phase, at: gibbs(phase, at[0], at[1]), argnums=1))
_planck = jax.jit(jax.grad(lambda phase, at: gibbs(phase, at[0], at[1]) / at[0], argnums=1))


def at(phase, temperature, pressure=0.0) -> Properties:
    return Properties(*map(np.asarray, properties(phase, temperature, pressure)))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(parameters, st.floats(20.0, 700.0), st.floats(-0.002, 0.1))
def test_identities(chosen, temperature, pressure):
    """Properties come from F(T, V) by Schur complements; here they meet derivatives of G(T, P) through the relaxed volume."""
    phase = phase_of(*chosen)
    with jax.enable_x64(True):
        point = np.array([temperature, pressure])
        found = at(phase, temperature, pressure)
        slope, (by_t, by_p), planck = (np.asarray(f(phase, point)) for f in (_gradient, _hessian, _planck))
    close = lambda a, b, scale=0.0: a == pytest.approx(b, rel=1e-10, abs=1e-10 * abs(scale))
    assert close(found.entropy, -slope[0]) and close(found.volume, slope[1])
    assert close(found.enthalpy, -(temperature**2) * planck[0])  # Gibbs-Helmholtz
    assert close(by_t[1], by_p[0])  # Maxwell
    assert close(found.heat_capacity, -temperature * by_t[0]) and close(found.expansion, by_t[1] / found.volume)
    assert close(found.bulk_modulus, -found.volume / by_p[1])
    excess = found.expansion**2 * found.bulk_modulus * found.volume * temperature
    assert close(found.heat_capacity - found.heat_capacity_v, excess, scale=found.heat_capacity)
    assert close(found.adiabatic_bulk_modulus * found.heat_capacity_v, found.bulk_modulus * found.heat_capacity)
    assert close(found.gruneisen, found.expansion * found.bulk_modulus * found.volume / found.heat_capacity_v)
    assert close(found.helmholtz_energy, found.internal_energy - temperature * found.entropy)
    assert close(found.gibbs_energy, found.helmholtz_energy + pressure * found.volume)
    assert by_t[0] < 0 and by_p[1] < 0 and np.linalg.eigvalsh([by_t, by_p]).max() <= 1e-12  # G is concave in T and P
    assert found.entropy > 0 and found.heat_capacity > found.heat_capacity_v > 0


def test_debye_gruneisen_keeps_its_gamma():
    found = at(PHASE.without("electronic"), np.array([50.0, 900.0]))
    np.testing.assert_allclose(found.gruneisen, 2.1, rtol=1e-11)


def test_cold():
    """Third law, and how it is approached: Cv and expansion of a lattice as T³, with relative errors that vanish."""
    lattice = PHASE.without("electronic")
    zero, found = at(lattice, 0.0), at(lattice, np.array([2.0, 4.0]))
    assert zero.entropy == 0 and zero.heat_capacity == 0 and zero.expansion == 0
    assert zero.adiabatic_bulk_modulus == zero.bulk_modulus and np.isnan(zero.gruneisen)
    theta = 400.0 * (16.5 / zero.volume) ** 2.1
    np.testing.assert_allclose(found.heat_capacity_v, 12 * np.pi**4 / 5 * BOLTZMANN * (np.array([2.0, 4.0]) / theta) ** 3, rtol=1e-7)
    assert found.expansion[1] / found.expansion[0] == pytest.approx(8, rel=1e-6)
    electrons = at(PHASE, np.array([0.01, 0.02])).heat_capacity_v / [0.01, 0.02]
    np.testing.assert_allclose(electrons, np.pi**2 / 3 * 0.4 * BOLTZMANN**2, rtol=2e-5)


def test_hot():
    """Cv/3k = 1 - (theta/T)²/20 + O(T^-4): the rest shrinks 16-fold when T doubles."""
    held = PHASE.without("electronic").at(16.5)
    found = at(held, np.array([2000.0, 4000.0]))
    left = found.heat_capacity_v / (3 * BOLTZMANN) - 1 + (400.0 / np.array([2000.0, 4000.0])) ** 2 / 20
    assert left[0] / left[1] == pytest.approx(16, rel=0.02)


def test_a_phase_without_a_free_volume():
    found = at(Phase(static=StaticEnergy(-1.0), vibrational=Einstein(300.0)), 400.0)
    assert np.isnan([found.volume, found.expansion, found.bulk_modulus]).all()
    assert found.heat_capacity == found.heat_capacity_v > 0
    held = at(PHASE.at(16.0), 400.0, 0.01)
    assert held.volume == 16.0 and held.gibbs_energy == pytest.approx(float(PHASE(400.0, 16.0)) + 0.16, rel=1e-14)


def test_table_says_why_a_row_is_empty():
    rows = table(PHASE, [-5.0, 300.0, np.nan, 1e5])
    notes = [row.pop("note") for row in rows]
    assert notes[1] == "" and all(np.isfinite(list(rows[1].values())))
    assert "-5 K" in notes[0] and "nan K" in notes[2] and "13 and 23 Å³" in notes[3]
    for k in (0, 2, 3):
        assert all(np.isnan(value) for name, value in rows[k].items() if name != "T (K)")
    assert rows[1]["Cp (J/mol/K)"] == pytest.approx(8.314462618 * float(at(PHASE, 300.0).heat_capacity) / BOLTZMANN, rel=1e-8)
    broken = Phase(static=PHASE.static, vibrational=DebyeGruneisen(np.nan, 16.5, 2.0), electronic=Sommerfeld(0.4))
    assert why_not(broken, 300.0) == "no vibrational free energy at 300 K"
