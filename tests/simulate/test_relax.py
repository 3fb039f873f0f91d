"""Relaxation: the minimum of a known function, the law of zero force, the limits of the cell, and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.simulate import cutoffs, eam_energy, edge_vectors, prototype, relax, stack, topology
from matjax.types import Crystal

METALS = (13, 27, 28, 29, 26)


def alloy(seed: int, rattle: float = 0.05) -> Crystal:
    """A random fcc alloy of 16 atoms, off its sites."""
    draw = np.random.default_rng(seed)
    cell = prototype("fcc")
    lattice = cell.vectors * 2.65 * np.array([[2.0], [2.0], [1.0]])
    shifts = np.array([[i, j, 0] for i in (0, 1) for j in (0, 1)])
    frac = (cell.frac_coords[None] + shifts[:, None]).reshape(-1, 3) / [2, 2, 1]
    return Crystal(lattice, frac @ lattice + rattle * draw.normal(size=(16, 3)), draw.permutation(np.resize(METALS, 16)))


@pytest.fixture(scope="module")
def batch():
    """Positions, lattices and topologies of four alloys, one row of padding atoms each."""
    crystals = [alloy(seed) for seed in range(4)]
    found = stack([topology(c, cutoffs(), n_atom=18, n_edge=18 * 130) for c in crystals])
    positions = np.stack([np.concatenate([c.positions, np.full((2, 3), 0.5)]) for c in crystals])
    return positions, np.stack([c.lattice for c in crystals]), found


def slopes(positions, lattice, topology):
    strained = lambda x, e: eam_energy(x + x @ e, lattice + lattice @ e, topology)
    force, virial = jax.grad(strained, (0, 1))(positions, jnp.zeros((3, 3), positions.dtype))
    return -force, virial / jnp.abs(jnp.linalg.det(lattice))


@pytest.mark.parametrize("cell", ["fixed", "volume", "full"])
def test_forces_and_the_free_part_of_the_stress_vanish(cell, batch) -> None:
    positions, lattice, found = batch
    with jax.enable_x64(True):
        rest = relax(eam_energy, positions, lattice, found, cell=cell, max_force=2e-3, max_stress=2e-5)
        forces, stress = map(np.asarray, jax.jit(jax.vmap(slopes))(rest.positions, rest.lattice, found))
        start = np.asarray(jax.jit(jax.vmap(eam_energy))(positions, lattice, found))
    assert np.all(rest.converged) and np.max(rest.n_step) < 40
    assert np.linalg.norm(forces, axis=-1).max() < 2.1e-3
    np.testing.assert_allclose(np.linalg.norm(forces, axis=-1).max(1), rest.max_force, rtol=1e-6, atol=1e-8)
    assert np.all(np.asarray(rest.energy) < start - 0.1)
    shape = np.asarray(rest.lattice) @ np.linalg.inv(lattice)
    if cell == "fixed":
        np.testing.assert_allclose(rest.lattice, lattice)
    elif cell == "volume":
        np.testing.assert_allclose(shape, shape[:, :1, :1] * np.eye(3), atol=1e-12)
        assert np.abs(np.trace(stress, axis1=1, axis2=2)).max() / 3 < 2.2e-5
        assert np.abs(stress).max() > 1e-3
    else:
        assert np.abs(stress).max() < 2.5e-5


def test_a_crystal_relaxes_alike_alone_and_in_a_batch(batch) -> None:
    positions, lattice, found = batch
    with jax.enable_x64(True):
        together = relax(eam_energy, positions, lattice, found, batch_size=4)
        alone = jax.tree.map(np.asarray, relax(eam_energy, positions[2:3], lattice[2:3], jax.tree.map(lambda a: a[2:3], found)))
        together = jax.tree.map(np.asarray, together)
    np.testing.assert_allclose(together.energy[2], alone.energy[0], rtol=1e-10)
    assert together.n_step[2] == alone.n_step[0]
    np.testing.assert_allclose(
        together.positions[:, 16:] / 0.5, np.broadcast_to(np.cbrt(_ratio(together, lattice))[:, None, None], (4, 2, 3))
    )


def _ratio(rest, lattice):
    return np.linalg.det(np.asarray(rest.lattice)) / np.linalg.det(lattice)


def springs(positions, lattice, topology):
    """Harmonic springs of rest length 2.7 Å between near neighbours: the minimum of a perfect fcc crystal is known."""
    length = jnp.linalg.norm(edge_vectors(positions, lattice, topology), axis=-1)
    return 0.25 * jnp.where(topology.mask, (length - 2.7) ** 2, 0.0).sum()


def test_springs_find_their_length() -> None:
    crystal = alloy(0, rattle=0.1)
    found = stack([topology(alloy(0, rattle=0.0), 2.9)])
    rest = relax(
        springs, crystal.positions[None].astype("float32"), crystal.lattice[None].astype("float32"), found, max_force=1e-4, max_stress=1e-6
    )
    assert rest.converged.all() and rest.positions.dtype == jnp.float32
    assert rest.energy[0] < 1e-6
    assert rest.lattice[0, 2, 2] == pytest.approx(2.7 * 2**0.5, rel=1e-4)


def test_steps_are_capped_and_said_to_be_too_few(batch) -> None:
    positions, lattice, found = batch
    with jax.enable_x64(True):
        first = np.asarray(jax.jit(jax.vmap(eam_energy))(positions, lattice, found))
        rest = relax(eam_energy, positions, lattice, found, n_step=3)
    assert not np.any(rest.converged)
    assert np.all(np.asarray(rest.n_step) == 3)
    assert np.all(np.asarray(rest.energy) < first)


def test_an_energy_that_is_not_a_number_does_not_converge(batch) -> None:
    positions, lattice, found = batch
    with jax.enable_x64(True):
        rest = relax(eam_energy, positions, lattice, found._replace(numbers=np.where(found.numbers == 28, 6, found.numbers)))
    assert not np.any(rest.converged)


def test_unknown_cells_are_refused(batch) -> None:
    with pytest.raises(ValueError, match="fixed, volume, full"):
        relax(eam_energy, *batch, cell="shape")  # type: ignore[arg-type]
