"""The energy as a function: against the predictor, against finite differences, and with jax-md's neighbour lists and conventions."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import neighbours
from matjax.simulate import energy_fn
from matjax.types import Crystal


def jaxmd_list(crystal: Crystal, reach: float, capacity: int) -> SimpleNamespace:
    """What jax-md's multi-image list holds, in no order of receivers, by the 125 images around."""
    n = len(crystal)
    shifts = np.stack(np.meshgrid(*3 * [np.arange(-2, 3)], indexing="ij"), -1).reshape(-1, 3) * crystal.pbc
    shifts = np.unique(shifts, axis=0)
    vectors = crystal.positions[None, None] + (shifts @ crystal.lattice)[:, None, None] - crystal.positions[None, :, None]
    near = np.linalg.norm(vectors, axis=-1) < reach
    near &= ~((shifts == 0).all(1)[:, None, None] & np.eye(n, dtype=bool)[None])
    image, i, j = np.nonzero(near)
    assert len(i) == len(neighbours(crystal, reach).senders) < capacity
    pad = lambda values, fill: np.concatenate([values, np.full((capacity - len(i), *values.shape[1:]), fill)])
    return SimpleNamespace(idx=(pad(i, n), pad(j, n)), shifts=pad(shifts[image], 7))


def test_it_is_the_energy_of_the_predictor_and_its_slope_the_force(morse) -> None:
    crystal = morse.alloy(0)
    said = morse.predictor()([crystal], derivatives=("forces",))
    energy = energy_fn(morse.predictor(), crystal)
    value, slope = jax.jit(jax.value_and_grad(energy))(crystal.positions)
    np.testing.assert_allclose(value, said.samples.mean() * len(crystal), rtol=1e-6)
    np.testing.assert_allclose(slope, -said.forces.mean(0), atol=1e-5)
    bare = energy_fn(morse.predictor(), crystal, references=False)(crystal.positions)
    np.testing.assert_allclose(value - bare, -crystal.numbers.sum() / 10, rtol=1e-5)


def test_fixed_neighbours_are_exact_within_the_skin(morse) -> None:
    crystal = morse.alloy(1)
    draw = np.random.default_rng(0)
    move = draw.normal(size=(len(crystal), 3))
    move *= 0.45 / np.linalg.norm(move, axis=1, keepdims=True)
    moved = Crystal(crystal.lattice, crystal.positions + move, crystal.numbers)
    expected = morse.predictor()([moved]).samples.mean() * len(crystal)
    np.testing.assert_allclose(energy_fn(morse.predictor(), crystal, skin=1.0)(moved.positions), expected, rtol=1e-6)
    assert abs(energy_fn(morse.predictor(), crystal, skin=0.0)(moved.positions) - expected) > 1e-3, "a skin is needed"


def test_neighbour_lists_of_jax_md(morse) -> None:
    crystal = morse.alloy(2, (1, 1, 2))
    found = jaxmd_list(crystal, 5.3, 2000)
    energy = energy_fn(morse.predictor(), crystal)
    fractional = energy_fn(morse.predictor(), crystal, fractional_coordinates=True)
    at = jnp.asarray(crystal.positions, jnp.float32)
    frac = jnp.asarray(crystal.positions @ np.linalg.inv(crystal.lattice), jnp.float32)
    expected, forces = jax.value_and_grad(energy)(at)
    linked = lambda x, idx, shifts: energy(x, SimpleNamespace(idx=idx, shifts=shifts), box=crystal.lattice.T, kT=0.1)
    value, slope = jax.jit(jax.value_and_grad(linked))(at, found.idx, found.shifts)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(slope, forces, atol=5e-5)
    value, slope = jax.value_and_grad(fractional)(frac, found, box=crystal.lattice.T)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(slope, forces, atol=5e-5, err_msg="forces of fractional positions are real-space forces")


def test_the_derivative_by_box_and_perturbation_is_the_stress(morse) -> None:
    crystal = morse.alloy(3)
    stress = morse.predictor()([crystal], derivatives=("stress",)).stress[:, 0].mean(0) * crystal.volume
    symmetric = lambda g: 0.5 * (g + g.T)
    energy = energy_fn(morse.predictor(), crystal)
    virial = jax.grad(lambda p: energy(crystal.positions, perturbation=p))(jnp.eye(3))
    np.testing.assert_allclose(symmetric(virial), stress, atol=1e-4)
    fractional = energy_fn(morse.predictor(), crystal, fractional_coordinates=True)
    frac = crystal.positions @ np.linalg.inv(crystal.lattice)
    strained = lambda e: fractional(frac, box=(jnp.eye(3) + e) @ crystal.lattice.T)
    np.testing.assert_allclose(symmetric(jax.grad(strained)(jnp.zeros((3, 3)))), stress, atol=1e-4)


def test_bad_arguments_are_refused(morse) -> None:
    crystal = morse.alloy(0)
    with pytest.raises(ValueError, match="must not be negative"):
        energy_fn(morse.predictor(), crystal, skin=-1.0)
    with pytest.raises(ValueError, match=r"box has shape \(3,\)"):
        energy_fn(morse.predictor(), crystal)(crystal.positions, box=jnp.ones(3))
    with pytest.raises(ValueError, match=r"trained predictor or \(model, variables\); this is a str"):
        energy_fn("nequix", crystal)
