"""Free energies from a potential: the pair potential's lattice sums by hand, one scalar at three depths, gradients to the weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

from matjax.data.convert import from_ase
from matjax.simulate.phonons import force_constants, modes
from matjax.simulate.supercell import supercell_matrix
from matjax.thermo.free_energy.cold_curve import cold_curve
from matjax.thermo.free_energy.harmonic import harmonic_free_energy
from matjax.thermo.free_energy.of_potential import debye_phase, harmonic_phase, quasi_harmonic_phase, static_curve
from matjax.thermo.free_energy.phase import gibbs
from matjax.thermo.free_energy.properties import properties
from tests.training.test_free_energy import Morse

VARIABLES = {"params": {"depth": jnp.float32(0.35), "stiffness": jnp.float32(1.5)}, "constants": {}}
POTENTIAL = (Morse(), VARIABLES)
LENGTH, DENSITY = 6.0, 12.0


def by_hand(volume: float, depth: float = 0.35, stiffness: float = 1.5) -> float:
    """Energy per atom of the fcc lattice at a volume per atom: half the sum of bonds within 5 Å."""
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    lattice = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2 * (4 * volume) ** (1 / 3)
    r = np.linalg.norm(steps @ lattice, axis=1)
    r = r[(r > 0.1) & (r < 5.0)]
    u = r / 5.0
    smooth = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8
    return float(0.5 * np.sum(depth * ((1 - np.exp(-stiffness * (r - 2.63))) ** 2 - 1) * smooth))


@pytest.fixture(scope="module")
def crystal():
    """fcc copper where the potential's energy is lowest."""
    start = from_ase(bulk("Cu", a=3.6))
    volume = float(static_curve(POTENTIAL, start).volume)
    return from_ase(bulk("Cu", a=(4 * volume) ** (1 / 3)))


def test_energies_over_volume_are_lattice_sums(crystal):
    volumes = crystal.volume * np.array([0.9, 1.0, 1.15])
    np.testing.assert_allclose(cold_curve(POTENTIAL, crystal, volumes)[0], [by_hand(v) for v in volumes], atol=2e-6)
    with pytest.raises(ValueError, match="volumes are positive"):
        cold_curve(POTENTIAL, crystal, [-1.0])


def test_gradients_reach_the_weights(crystal):
    volumes = crystal.volume * np.array([0.92, 1.08])
    energy = lambda params: cold_curve((Morse(), {**VARIABLES, "params": params}), crystal, volumes).sum()
    with jax.enable_x64(True):
        slope = jax.grad(energy)(VARIABLES["params"])
    known = lambda **change: sum(by_hand(v, **change) for v in volumes)
    assert float(slope["depth"]) == pytest.approx((known(depth=0.36) - known(depth=0.34)) / 0.02, rel=1e-4)
    assert float(slope["stiffness"]) == pytest.approx((known(stiffness=1.501) - known(stiffness=1.499)) / 0.002, rel=1e-3)


def test_the_equation_of_state_has_the_bulk_modulus_of_the_sums(crystal):
    step, at = 0.05, crystal.volume
    curvature = (by_hand(at + step) + by_hand(at - step) - 2 * by_hand(at)) / step**2
    assert float(static_curve(POTENTIAL, crystal).bulk) == pytest.approx(at * curvature, rel=0.03)


def test_phonons_at_one_volume_are_a_phase(crystal):
    phase = harmonic_phase(POTENTIAL, crystal, length=LENGTH, density=DENSITY)
    found = modes(force_constants(POTENTIAL, crystal, supercell_matrix(crystal, LENGTH)), crystal, (5, 5, 5))
    shares = np.repeat(found.weights[:, None], 3, 1)
    moving = np.asarray(found.frequencies) > 1e-4  # all but the three translations
    shares = 3 * np.where(moving, shares, 0) / shares[moving].sum()
    vibrations = harmonic_free_energy(400.0, np.where(moving, found.frequencies, 1.0).ravel(), shares.ravel())
    assert float(gibbs(phase, 400.0)) == pytest.approx(by_hand(crystal.volume) + float(vibrations), abs=5e-6)
    assert phase.names == ("static", "vibrational")


def test_three_depths_agree_where_they_must(crystal):
    debye, harmonic = debye_phase(POTENTIAL, crystal), harmonic_phase(POTENTIAL, crystal, length=LENGTH, density=DENSITY)
    done = []
    whole = quasi_harmonic_phase(POTENTIAL, crystal, length=LENGTH, density=DENSITY, shares=(0.97, 1.0, 1.03), report=done.append)
    assert done == [1, 2, 3]
    for phase in (debye, whole):
        assert float(properties(phase, 100.0).expansion) > 0
    at_rest = whole.at(crystal.volume)
    assert float(gibbs(at_rest, 200.0)) == pytest.approx(float(gibbs(harmonic, 200.0)), abs=1e-4)
    assert float(gibbs(whole, 200.0)) < float(gibbs(at_rest, 200.0))  # a free volume can only lower it
    heat = float(properties(harmonic, 3000.0).heat_capacity_v)
    assert heat == pytest.approx(3 * 8.617333e-5, rel=0.01)  # Dulong and Petit
