"""Harmonic lattice vibrations of any potential: force constants over a supercell, dynamical matrices and frequencies.

Force constants of a network or of any JAX energy are exact: products of the Hessian with displacements (forward over reverse), no
finite step. Frequencies are energies h nu in eV inside; `to_terahertz` converts at the edge. An imaginary mode is a negative frequency.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any, NamedTuple

import ase
import jax
import jax.numpy as jnp
import numpy as np
import spglib
from ase.data import atomic_masses

from matjax.graph import Shape, neighbours, pack, shape_for, to_graph
from matjax.nn import Model
from matjax.nn.layout import with_room
from matjax.simulate.force_symmetry import Product, symmetric_force_constants
from matjax.simulate.network import displaced, energies, network
from matjax.simulate.relax import Energy
from matjax.simulate.supercell import Images, images
from matjax.simulate.topology import Topology, topology
from matjax.types import Array, Crystal, Graph

HBAR = 6.582119569e-16  # eV s
PLANCK = 4.135667696e-15  # eV s
AMU = 1.03642696562e-28  # eV s² / Å², the atomic mass constant
N_BLOCK = 32
"""Room for blocks of displacements goes up in steps of this, so that few programs are compiled."""

SYMMETRY_TOLERANCE = 1e-3
"""How far (Å) an atom may be from its image under a symmetry operation."""


class ForceConstants(NamedTuple):
    """Force constants of a primitive cell over a supercell, with the images that they belong to.

    values: [n_atom, n_super, 3, 3] d2E / dx_ia dx_jb in eV/Å², i in the first primitive cell, j anywhere in the supercell; masses:
    [n_atom] amu; lattice: of the primitive cell [3, 3], Å; images: nearest images of j seen from i; drift: the largest component of
    sum_j values before the acoustic sum rule was imposed, eV/Å²: rounding, or a finite step; source: how they came about.
    """

    values: Array
    masses: np.ndarray
    lattice: np.ndarray
    images: Images
    drift: float
    source: str


class Modes(NamedTuple):
    """Vibrations on a mesh of wave vectors.

    frequencies: [n_q, 3 n_atom] energies h nu in eV, ascending; negative where the mode is imaginary; weights: [n_q], they sum
    to one; q: [n_q, 3] in reciprocal lattice vectors; n_imaginary: modes below -`imaginary_below` of the mesh; share_imaginary: their
    weight among all modes; lowest: the lowest frequency, eV.
    """

    frequencies: Array
    weights: np.ndarray
    q: np.ndarray
    n_imaginary: int
    share_imaginary: float
    lowest: float


def force_constants(
    potential: Any,
    crystal: Crystal,
    matrix: np.ndarray,
    *,
    symmetry: float = SYMMETRY_TOLERANCE,
    chunk: int = 1,
    shape: Shape | None = None,
) -> ForceConstants:
    """Exact force constants of a network, by Hessian-vector products.

    Args:
      potential: A trained predictor, or (model, variables); see `simulate.network`. Of an ensemble the mean energy counts.
      crystal: Primitive cell at rest: forces below 1e-3 eV/Å; each is a term left out of the harmonic energy.
      matrix: Supercell in vectors of the primitive cell [3, 3]; see `supercell_matrix`.
      symmetry: Tolerance in Å with which symmetry saves displacements; 0 displaces all atoms along x, y and z.
      chunk: Displacements side by side: 1 is fastest on a processor, an accelerator wants 16 or more.
      shape: Room for atoms and edges of the supercell: crystals of one shape share a compiled program. Its own by default.

    Returns:
      In float32 good to about 1e-4 of the largest; inside `jax.enable_x64(True)` the network runs in float64.

    Raises:
      ValueError: If the matrix is no supercell, or the potential was not trained on forces or does not know an element.
    """
    known = network(potential)
    known.require_elements(crystal)

    def product(large: Crystal, moves: np.ndarray) -> np.ndarray:
        reach = float(known.model.cutoff)
        graph = to_graph(large, cutoff=reach, found=neighbours(large, reach))
        graph = pack([graph], shape_for([graph], 1)._replace(n_graph=2) if shape is None else shape, cutoff=reach)
        n_block = -(-len(moves) // chunk)
        padded = np.zeros((-(-n_block // N_BLOCK) * N_BLOCK, chunk, graph.nodes.mask.shape[0], 3))
        padded.reshape(-1, *padded.shape[2:])[: len(moves), : len(large)] = moves
        said = _network_curvatures(known.variables, graph, padded, n_block, model=with_room(known.model, graph))
        return np.asarray(said).reshape(-1, *padded.shape[2:])[: len(moves), : len(large)]

    return _force_constants(product, crystal, matrix, symmetry, "exact: Hessian-vector products of a network")


def force_constants_of_energy(
    energy: Energy, crystal: Crystal, matrix: np.ndarray, cutoff: float | np.ndarray, *, symmetry: float = SYMMETRY_TOLERANCE
) -> ForceConstants:
    """Exact force constants of any JAX energy, in float64.

    Args:
      energy: (positions, lattice, topology) -> eV, such as `eam_energy`.
      crystal: Primitive cell at rest.
      matrix: Supercell in vectors of the primitive cell [3, 3].
      cutoff: Of the energy, Å, or a table by pair of elements; see `topology`.
      symmetry: As in `force_constants`.
    """

    def product(large: Crystal, moves: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(_curvatures(energy, large.positions, large.lattice, topology(large, cutoff), moves))

    return _force_constants(product, crystal, matrix, symmetry, "exact: Hessian-vector products of a JAX energy")


def force_constants_by_displacement(
    calculator: Any, crystal: Crystal, matrix: np.ndarray, *, displacement: float = 0.01, symmetry: float = SYMMETRY_TOLERANCE
) -> ForceConstants:
    """Force constants of an ASE calculator, by central differences of its forces: for energies that JAX cannot differentiate.

    Args:
      calculator: Any ASE calculator with forces.
      crystal: Primitive cell at rest.
      matrix: Supercell in vectors of the primitive cell [3, 3].
      displacement: Å, to both sides.
      symmetry: As in `force_constants`.
    """
    if not displacement > 0:
        raise ValueError(f"displacement is {displacement} Å; it must be positive")

    def product(large: Crystal, moves: np.ndarray) -> np.ndarray:
        atoms = ase.Atoms(large.numbers, large.positions, cell=large.lattice, pbc=large.pbc, calculator=calculator)

        def forces(move: np.ndarray) -> np.ndarray:
            atoms.positions = large.positions + displacement * move
            return np.array(atoms.get_forces())

        return np.stack([(forces(-move) - forces(move)) / (2 * displacement) for move in moves])

    return _force_constants(product, crystal, matrix, symmetry, f"finite differences: {displacement} Å to both sides")


def _force_constants(product: Product, crystal: Crystal, matrix: np.ndarray, symmetry: float, source: str) -> ForceConstants:
    values = symmetric_force_constants(product, crystal, np.asarray(matrix), symmetry)
    n_atom, n_cell = len(crystal), values.shape[1] // len(crystal)
    drift = values.sum(1)
    values[np.arange(n_atom), np.arange(n_atom) * n_cell] -= drift
    found = images(crystal, np.asarray(matrix))
    return ForceConstants(values, atomic_masses[crystal.numbers], np.array(crystal.lattice), found, float(np.abs(drift).max()), source)


@functools.partial(jax.jit, static_argnames="energy")
def _curvatures(energy: Energy, positions: Array, lattice: Array, neighbours: Topology, moves: Array) -> jax.Array:
    _, curvature = jax.linearize(jax.grad(lambda x: energy(x, jnp.asarray(lattice), neighbours)), jnp.asarray(positions))
    return jax.lax.map(curvature, jnp.asarray(moves))


@functools.partial(jax.jit, static_argnames="model")
def _network_curvatures(variables: Any, graph: Graph, moves: Array, n_block: Array, *, model: Model) -> jax.Array:
    """Changes of the gradient of the mean energy along the first `n_block` of moves [k, chunk, n_node, 3]."""
    moves = jnp.asarray(moves, graph.edges.vectors.dtype)
    energy = lambda u: jnp.sum(energies(model, variables, displaced(graph, u)).mean(0), where=graph.globals.mask)
    _, curvature = jax.linearize(jax.grad(energy), jnp.zeros_like(moves[0, 0]))
    step = lambda i, found: found.at[i].set(jax.vmap(curvature)(moves[i]))
    return jax.lax.fori_loop(0, n_block, step, jnp.zeros_like(moves))


def dynamical_matrix(known: ForceConstants, q: Array) -> Array:
    """Mass-weighted dynamical matrices: Hermitian; eigenvalues are (h nu)².

    D_ia,jb(q) = hbar² / sqrt(m_i m_j) sum over cells of Phi_ia,jb exp(2 pi i q . cell), a force constant shared by its nearest images.
    NumPy in, NumPy out; if the force constants are a JAX array, JAX all through (inside `jax.enable_x64(True)`), to be differentiated.

    Args:
      known: Force constants.
      q: Wave vectors [n_q, 3] in reciprocal lattice vectors.

    Returns:
      [n_q, 3 n_atom, 3 n_atom], eV².

    Source:
      Togo & Tanaka, Scripta Mater. 108, 1 (2015), eq. 4, with the phase of the cell instead of that of the atom: same eigenvalues.
    """
    xp = jnp if isinstance(known.values, jax.Array) else np
    n_atom = len(known.masses)
    turns = 2 * np.pi * xp.einsum("qc,ijmc->qijm", xp.asarray(q), known.images.cells)
    phase = xp.sum(xp.exp(1j * turns) * known.images.weight[None], axis=-1).reshape(len(q), n_atom, n_atom, -1)
    values = known.values.reshape(n_atom, n_atom, -1, 3, 3)
    matrices = xp.einsum("qijc,ijcab->qiajb", phase, values)
    scale = HBAR / np.sqrt(np.repeat(known.masses, 3) * AMU)
    matrices = matrices.reshape(len(q), 3 * n_atom, 3 * n_atom) * (scale[:, None] * scale[None])[None]
    return 0.5 * (matrices + xp.conj(xp.swapaxes(matrices, 1, 2)))


def frequencies(known: ForceConstants, q: Array) -> Array:
    """Energies h nu [n_q, 3 n_atom] of the vibrations at wave vectors [n_q, 3], eV, ascending; negative where imaginary."""
    xp = jnp if isinstance(known.values, jax.Array) else np
    squared = xp.linalg.eigvalsh(dynamical_matrix(known, q))
    size = xp.sqrt(xp.where(squared == 0, 1.0, xp.abs(squared)))
    return xp.where(squared == 0, 0.0, xp.sign(squared) * size)


def modes(known: ForceConstants, crystal: Crystal, mesh: tuple[int, int, int], *, imaginary_below: float = 4e-4) -> Modes:
    """Vibrations on a mesh of wave vectors centred at the zone centre, one of each set that symmetry and time reversal make equal.

    Args:
      known: Force constants.
      crystal: Primitive cell that they belong to.
      mesh: Points along the reciprocal lattice vectors.
      imaginary_below: A mode counts as imaginary if h nu, taken negative, is below minus this, eV (0.1 THz): acoustic modes at the zone
        centre are zero but for rounding.
    """
    q, weights = mesh_points(crystal, mesh)
    found = frequencies(known, q)
    is_imaginary = np.asarray(found) < -imaginary_below
    share = float((weights[:, None] * is_imaginary).sum() / found.shape[1])
    return Modes(found, weights, q, int(is_imaginary.sum()), share, float(np.asarray(found).min()))


def mesh_points(crystal: Crystal, mesh: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Wave vectors [n_q, 3] that symmetry does not relate, and their weights [n_q], which sum to one; the zone centre is among them."""
    fractions = crystal.positions @ np.linalg.inv(crystal.lattice)
    cell: Any = (crystal.lattice, fractions, crystal.numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib 2 announces on every call that it will raise errors
        found = spglib.get_ir_reciprocal_mesh(mesh, cell, is_shift=(0, 0, 0), is_time_reversal=True, symprec=SYMMETRY_TOLERANCE)
    if found is None:
        raise ValueError(
            f"no mesh {tuple(mesh)} of wave vectors: three positive whole numbers and a crystal without coinciding atoms are needed"
        )
    mapping, addresses = found
    kept, counts = np.unique(mapping, return_counts=True)
    return addresses[kept] / np.asarray(mesh), counts / counts.sum()


def to_terahertz(energies: Array) -> Array:
    """Frequencies in THz of energies h nu in eV."""
    return energies / (PLANCK * 1e12)
