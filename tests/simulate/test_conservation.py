"""A trained network conserves energy: molecular dynamics in one scan, as long as a simulation and in two precisions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.data import atomic_masses

from matjax.data.convert import from_ase
from matjax.nn import Equivariant
from matjax.simulate import batch_relax, energy_fn
from matjax.training import AdamW, GraphLearner
from matjax.types import Crystal, Dataset, Metadata, Visible

SKIN = 1.5
STEP = 2.0
"""fs"""


def frames(n: int) -> Dataset:
    """Strained and rattled copper-nickel cells of 4 and 8 atoms with the energies, forces and stresses of EMT."""
    draw = np.random.default_rng(0)
    crystals, energy, forces, stress = [], [], [], []
    for i in range(n):
        atoms = bulk("Cu", cubic=True) * (1 + i % 2, 1, 1)
        atoms.symbols = draw.choice(["Cu", "Ni"], len(atoms))
        atoms.set_cell(atoms.cell.array @ (0.98 * np.eye(3) + 0.03 * draw.uniform(-1, 1, (3, 3))), scale_atoms=True)
        atoms.rattle(draw.uniform(0.02, 0.2), rng=draw)
        atoms.calc = EMT()
        crystals.append(from_ase(atoms))
        energy.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        stress.append(atoms.get_stress(voigt=False))
    labels = {"energy": np.array(energy), "forces": tuple(forces), "stress": np.array(stress)}
    meta = Metadata("emt", {"energy": "eV"}, reference="atoms", functional="EMT", structures="unrelaxed")
    return Dataset(tuple(crystals), tuple(map(str, range(n))), labels, metadata=meta)


@pytest.fixture(scope="module")
def taught():
    data = frames(160)
    some = lambda a, b: data.select(range(a, b))
    learner = GraphLearner(
        Equivariant("8x0e+8x1o", n_layer=1, n_basis=6, radial=(16,)), optimizer=AdamW(2e-2), members=1, n_epoch=20, ema=0.9, batch_size=8
    )
    return learner(Visible(some(0, 120), some(120, 136), some(136, 148), some(148, 160)), jax.random.key(0)), some(148, 160)


@functools.partial(jax.jit, static_argnames=("energy", "n_step", "every"))
def verlet(energy, positions, momenta, masses, *, n_step: int, every: int):
    """Velocity Verlet; total energy and the farthest way of an atom from its start, every so many steps."""
    step, push = STEP * units.fs, lambda x: -jax.grad(energy)(x)
    weight = masses[:, None]

    def one(carried, _):
        x, p, f = carried
        p = p + 0.5 * step * f
        x = x + step * p / weight
        f = push(x)
        return (x, p + 0.5 * step * f, f), None

    def some(carried, _):
        carried, _ = jax.lax.scan(one, carried, None, length=every)
        x, p, _ = carried
        way = jnp.sqrt(jnp.square(x - positions).sum(1).max())
        return carried, (energy(x) + 0.5 * jnp.sum(p * p / weight), way)

    return jax.lax.scan(some, (positions, momenta, push(positions)), None, length=n_step // every)[1]


def drift(potential, crystal: Crystal, picoseconds: float, temperature: float = 300.0) -> tuple[float, float, float]:
    """Slope of the total energy times the time (meV/atom), its standard deviation about that line, and the farthest way (Å)."""
    masses = atomic_masses[crystal.numbers]
    draw = np.random.default_rng(1).normal(size=(len(crystal), 3)) * np.sqrt(2 * temperature * units.kB * masses)[:, None]
    momenta = draw - draw.mean(0)
    energy = energy_fn(potential, crystal, skin=SKIN, references=False)
    n_step = round(1000 * picoseconds / STEP)
    total, way = verlet(energy, jnp.asarray(crystal.positions), jnp.asarray(momenta), jnp.asarray(masses), n_step=n_step, every=10)
    total = 1000 * np.asarray(total, np.float64) / len(crystal)
    slope, start = np.polyfit(np.linspace(0, 1, len(total)), total, 1)
    return float(slope), float(np.std(total - np.linspace(0, 1, len(total)) * slope - start)), float(np.max(way))


@pytest.mark.slow
def test_the_total_energy_does_not_drift(taught) -> None:
    potential, test = taught
    said = potential(test.crystals, derivatives=("forces",))
    error = np.abs(said.forces[0] - np.concatenate(test.labels["forces"])).mean()
    assert error < 0.3 * np.abs(np.concatenate(test.labels["forces"])).mean(), "it has learned forces"
    rest = batch_relax(potential, [test.crystals[1]])[0]
    assert rest.converged
    for double in (False, True):
        with jax.enable_x64(double):
            slope, noise, way = drift(potential, rest.crystal, 2.0)
        assert 0.05 < way < SKIN / 2, "atoms move, and no farther than the neighbours that they were given"
        assert abs(slope) < 0.02 and noise < 0.2, "0.1 meV/atom in 10 ps"
