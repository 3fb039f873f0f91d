"""Elastic constants of many crystals, a few compiled programs for all, and a word on each that was not at rest."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.data.elements import N_ELEMENT, symbol
from matjax.nn.layout import too_large
from matjax.simulate.chunks import chunks
from matjax.simulate.elastic import elastic_tensor
from matjax.simulate.network import network
from matjax.simulate.network_energy import network_energy
from matjax.simulate.topology import Topology
from matjax.types import Array, Crystal, Result


def elastic_constants(
    potential: Any,
    crystals: Sequence[Crystal],
    *,
    cutoff: float | np.ndarray | None = None,
    relaxed_ion: bool = True,
    max_force: float = 0.02,
    max_stress: float = 3e-3,
    chunk: int = 16,
    batch_size: int = 1,
) -> list[Result]:
    """Elastic constants of relaxed crystals of any size, by second derivatives, atoms following the strain.

    Crystals come as they are: relax them first (`batch_relax` with cell="full"). One that is not at rest, by its forces or its stress,
    has no elastic constants here: C_ij of a stressed crystal is off by about the stress, and one that pulls at its atoms by more.
    Crystals are padded to a few shapes, each compiled once. In the precision in force: inside `jax.enable_x64(True)` float64, else
    float32, in which constants are good to about 1e-3 of the largest.

    Args:
      potential: A trained predictor or (model, variables), see `network` (of an ensemble the mean energy counts); or an energy
        (positions, lattice, topology) -> eV such as `eam_energy`, a function that is not made anew for every call.
      crystals: Any number, any size, periodic along a, b and c.
      cutoff: In Å, or a table [119, 119] by atomic numbers; of an energy only, a network has its own.
      relaxed_ion: Atoms follow the strain (what is measured); else they are carried with it.
      max_force: Largest force on an atom at rest, eV/Å.
      max_stress: Largest component of the stress at rest, eV/Å³; 3e-3 is 0.5 GPa.
      chunk: Crystals in one call of the device.
      batch_size: Of these, crystals side by side: 1 is best on a processor; an accelerator wants the whole chunk.

    Returns:
      One result per crystal, in order, with `elastic` [6, 6] in Voigt's order, eV/Å³, of those at rest. Others are "unconverged" (not at
      rest) or "failed" (cannot be measured) and say why.

    Raises:
      ValueError: If an energy comes without a cutoff, or a network with one or not trained on forces and stress.
    """
    begin = time.perf_counter()
    reach, energy, refusal = _prepared(potential, cutoff)
    errors = [_objection(crystal) or refusal(crystal) for crystal in crystals]
    results = [Result("failed", error=f"physical: {error}") for error in errors]
    rows = [i for i, error in enumerate(errors) if not error]
    for part in chunks([crystals[i] for i in rows], reach, chunk):
        inputs = (energy(part.positions.shape[1]), part.positions, part.lattice, part.topology)
        found = _constants(*inputs, relaxed_ion=relaxed_ion, batch_size=min(batch_size, chunk))
        constants, force, stress = (np.asarray(array, np.float64) for array in found)
        for k, i in enumerate(np.array(rows)[part.index]):
            results[i] = _result(crystals[i], constants[k], float(force[k]), float(stress[k]), max_force, max_stress)
    share = (time.perf_counter() - begin) / max(len(crystals), 1)
    return [dataclasses.replace(result, cost=share) for result in results]


def _prepared(potential: Any, cutoff: Any) -> tuple[Any, Callable[[int], jax.tree_util.Partial], Callable[[Crystal], str]]:
    """Cutoff, the energy for a number of atoms, and why a crystal is refused (empty if it is not)."""
    if cutoff is None:
        known = network(potential, needs=("forces", "stress"))
        refusal = lambda crystal: known.strangers(crystal) or too_large(known.model, len(crystal))
        return float(known.model.cutoff), lambda n_atom: network_energy(known, n_atom), refusal
    if not callable(potential):
        raise ValueError("a network has a cutoff of its own: leave `cutoff` out, or give an energy (positions, lattice, topology) -> eV")
    table = np.broadcast_to(cutoff, (N_ELEMENT + 1, N_ELEMENT + 1))
    lacks = lambda crystal: ", ".join(symbol(z) for z in np.unique(crystal.numbers).tolist() if not table[z, z] > 0)
    return cutoff, lambda n_atom: jax.tree_util.Partial(potential), lambda crystal: (names := lacks(crystal)) and f"no cutoff for {names}"


@partial(jax.jit, static_argnames=("relaxed_ion", "batch_size"))
def _constants(
    energy: Any, positions: Array, lattice: Array, topology: Topology, *, relaxed_ion: bool, batch_size: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Elastic constants [n, 6, 6] eV/Å³, largest force [n] eV/Å, largest stress [n] eV/Å³."""

    def one(crystal: tuple[jax.Array, jax.Array, Topology]) -> tuple[jax.Array, jax.Array, jax.Array]:
        positions, lattice, topology = crystal
        strained = lambda x, strain: energy(x + x @ strain, lattice + lattice @ strain, topology)
        slope, virial = jax.grad(strained, (0, 1))(positions, jnp.zeros((3, 3), positions.dtype))
        force = jnp.linalg.norm(slope, axis=-1) * (topology.numbers > 0)
        stress = 0.5 * (virial + virial.T) / jnp.abs(jnp.linalg.det(lattice))
        return elastic_tensor(energy, positions, lattice, topology, relaxed_ion), force.max(), jnp.abs(stress).max()

    return jax.lax.map(one, (positions, lattice, jax.tree.map(jnp.asarray, topology)), batch_size=batch_size)


def _result(crystal: Crystal, constants: np.ndarray, force: float, stress: float, max_force: float, max_stress: float) -> Result:
    left = {"max_force": force, "max_stress": stress}
    if not (np.isfinite(constants).all() and np.isfinite(force) and np.isfinite(stress)):
        return Result("failed", evidence=left, error="numerical: elastic constants are not finite")
    if force > max_force or stress > max_stress:
        error = f"numerical: {force:.3g} eV/Å and {stress:.3g} eV/Å³ are left; at rest below {max_force}, {max_stress}: relax it first"
        return Result("unconverged", crystal, evidence=left, error=error)
    return Result("converged", crystal, elastic=constants, evidence=left)


def _objection(crystal: Crystal) -> str:
    """Why no potential can measure a crystal; empty if it can."""
    if not len(crystal):
        return "the crystal has no atoms"
    if not (np.isfinite(crystal.positions).all() and np.isfinite(crystal.lattice).all()):
        return "positions or lattice are not finite"
    if not crystal.pbc.all() or crystal.volume < 1e-3:
        return f"elastic constants need a crystal that is periodic along a, b and c; pbc is {crystal.pbc}"
    return ""
