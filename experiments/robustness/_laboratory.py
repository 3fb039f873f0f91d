"""The embedded-atom laboratory as a source of labelled frames: energies, forces, and dynamics that melts and quenches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from matjax.keys import child
from matjax.simulate import cutoffs, eam_energy
from matjax.simulate.chunks import chunks
from matjax.simulate.topology import Topology, topology
from matjax.types import Crystal, Dataset, Metadata

BOLTZMANN = 8.617333262e-5  # eV/K
MASS_TIME = 103.642697  # u Å² / fs² in eV
STEP, FRICTION, BLOCK = 2.0, 0.01, 25  # fs, 1/fs, steps between looks at neighbours and pressure
COMPRESSIBILITY = 0.5  # Å³/eV: relative volume change per block and pressure
MASSES = {29: 63.546, 40: 91.224}
ROOM = 32  # places for the neighbours of an atom come in steps of this, so that few programs are compiled


@partial(jax.jit, static_argnames="batch_size")
def _labels(positions: jax.Array, lattice: jax.Array, neighbours: Topology, *, batch_size: int = 1) -> tuple[jax.Array, jax.Array]:
    one = lambda crystal: jax.value_and_grad(eam_energy)(*crystal)
    return jax.lax.map(one, (positions, lattice, neighbours), batch_size=batch_size)


def labelled(crystals: Sequence[Crystal], ids: Sequence[str], **domains: np.ndarray) -> Dataset:
    """The crystals with the laboratory's energies (eV) and forces (eV/Å), in float64."""
    energy, forces = np.empty(len(crystals)), [np.empty((0, 3))] * len(crystals)
    with jax.enable_x64(True):
        for chunk in chunks(crystals, cutoffs(), 1):
            neighbours = jax.tree.map(jnp.asarray, chunk.topology)
            values, slopes = _labels(jnp.asarray(chunk.positions), jnp.asarray(chunk.lattice), neighbours)
            for row, i in enumerate(chunk.index):
                energy[i], forces[i] = float(values[row]), -np.asarray(slopes[row, : len(crystals[i])])
    about = Metadata(
        "laboratory", {"energy": "eV", "forces": "eV/Å"}, reference="atoms", functional="EAM (Zhou 2004)", structures="unrelaxed"
    )
    return Dataset(tuple(crystals), tuple(ids), {"energy": energy, "forces": tuple(forces)}, dict(domains), about)


@jax.jit
def _block(positions, velocities, lattice, neighbours, masses, temperatures, key):
    """BLOCK steps of Langevin dynamics (BAOAB); returns positions, velocities and pressure of the virial, eV/Å³."""
    force = lambda x: -jax.grad(eam_energy)(x, lattice, neighbours)
    inverse = 1 / (masses * MASS_TIME)[:, None]
    damp = jnp.exp(-FRICTION * STEP)

    def step(carry, now):
        x, v, f = carry
        temperature, k = now
        v = v + 0.5 * STEP * f * inverse
        x = x + 0.5 * STEP * v
        v = damp * v + jnp.sqrt((1 - damp**2) * BOLTZMANN * temperature * inverse) * jax.random.normal(k, v.shape, v.dtype)
        x = x + 0.5 * STEP * v
        f = force(x)
        return (x, v + 0.5 * STEP * f * inverse, f), None

    keys = jax.random.split(key, BLOCK)
    (x, v, _), _ = jax.lax.scan(step, (positions, velocities, force(positions)), (temperatures, keys))
    strained = lambda s: eam_energy(x * s, lattice * s, neighbours)
    virial = -jax.grad(strained)(jnp.ones((), x.dtype)) / 3
    kinetic = len(masses) * BOLTZMANN * temperatures[-1]
    return x, v, (virial + kinetic) / jnp.abs(jnp.linalg.det(lattice))


def dynamics(crystal: Crystal, temperatures: np.ndarray, key: jax.Array, keep_every: int) -> list[Crystal]:
    """Langevin dynamics at zero pressure; one temperature (K) per block of BLOCK steps.

    The cell is scaled between blocks (Berendsen's manner), so that the density follows the temperature.

    Args:
      crystal: Start, of copper and zirconium.
      temperatures: Per block [n_block], K.
      key: Of the noise.
      keep_every: Blocks between frames that are returned.

    Raises:
      FloatingPointError: If an atom is lost.
    """
    masses = jnp.asarray([MASSES[int(z)] for z in crystal.numbers], jnp.float32)
    x, lattice = crystal.positions.copy(), crystal.lattice.copy()
    v = jnp.zeros(x.shape, jnp.float32)
    n_row = 0
    frames = []
    for block, temperature in enumerate(temperatures):
        here = Crystal(lattice, x, crystal.numbers)
        most = len(topology(here, cutoffs()).senders) // len(here)
        n_row = max(n_row, -(-most // ROOM) * ROOM)
        neighbours = jax.tree.map(jnp.asarray, topology(here, cutoffs(), n_edge=n_row * len(here)))
        now = jnp.full(BLOCK, temperature, jnp.float32)
        found, v, pressure = _block(
            jnp.asarray(x, jnp.float32), v, jnp.asarray(lattice, jnp.float32), neighbours, masses, now, child(key, block)
        )
        x = np.asarray(found, np.float64)
        if not np.isfinite(x).all():
            raise FloatingPointError(f"an atom was lost in block {block} at {temperature:.0f} K")
        scale = 1 + np.clip(COMPRESSIBILITY * float(pressure), -0.004, 0.004) / 3
        x, lattice = x * scale, lattice * scale
        if (block + 1) % keep_every == 0:
            frames.append(Crystal(lattice, x, crystal.numbers))
    return frames


def quench(hot: float, cold: float, n_melt: int, n_quench: int, n_rest: int) -> np.ndarray:
    """Temperatures per block: melted at `hot`, cooled evenly, held at `cold`."""
    return np.concatenate([np.full(n_melt, hot), np.linspace(hot, cold, n_quench), np.full(n_rest, cold)])
