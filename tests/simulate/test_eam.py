"""The embedded-atom energy against ASE's own calculator on tables of the same functions, published facts and laws."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.eam import EAM
from ase.data import atomic_masses, atomic_numbers

from matjax.data.convert import from_ase
from matjax.simulate import cutoffs, eam_energy, edge_vectors
from matjax.simulate import topology as neighbours_of
from matjax.simulate.eam import parameters

METALS = ("Cu", "Ni", "Al", "Fe", "W", "Ti", "Zr", "Pt", "Cr")


def naive(symbol: str):
    """f(r), phi(r) and F(rho) of an element, written out from the paper once more, scalar by scalar."""
    p = {name: float(column[atomic_numbers[symbol]]) for name, column in parameters().items()}

    def density(r):
        return p["f_e"] * np.exp(-p["beta"] * (r / p["r_e"] - 1)) / (1 + (r / p["r_e"] - p["lambda"]) ** 20)

    def pair(r):
        x = r / p["r_e"]
        repulsion = p["A"] * np.exp(-p["alpha"] * (x - 1)) / (1 + (x - p["kappa"]) ** 20)
        return repulsion - p["B"] * np.exp(-p["beta"] * (x - 1)) / (1 + (x - p["lambda"]) ** 20)

    def embedding(rho):
        rho_n = p["rho_n"] * p["rho_e"]
        if rho < rho_n:
            return sum(p[f"F_n{i}"] * (rho / rho_n - 1) ** i for i in range(4))
        if rho < 1.15 * p["rho_e"]:
            return sum(p[f"F_{i}"] * (rho / p["rho_e"] - 1) ** i for i in range(4))
        s = rho / p["rho_s"]
        return p["F_e"] * (1 - p["eta"] * np.log(s)) * s ** p["eta"]

    return density, pair, embedding


@pytest.fixture(scope="module")
def ase_eam(tmp_path_factory) -> EAM:
    """ASE's calculator on setfl tables of the naive functions, with fine grids and a long cutoff."""
    n, r_max = 6000, 9.0
    r = np.arange(n) * r_max / n
    rho_max = 6 * max(parameters()["rho_e"][atomic_numbers[s]] for s in METALS)
    rho = np.arange(n) * rho_max / n
    functions = {s: naive(s) for s in METALS}
    rows = ["", "", "", f"{len(METALS)} {' '.join(METALS)}", f"{n} {rho_max / n:.17g} {n} {r_max / n:.17g} {r_max}"]
    numbers = lambda values: "\n".join(f"{v:.16e}" for v in values)
    for s in METALS:
        density, _, embedding = functions[s]
        rows += [
            f"{atomic_numbers[s]} {atomic_masses[atomic_numbers[s]]} 1.0 fcc",
            numbers([embedding(v) for v in rho]),
            numbers(density(r)),
        ]
    for i, a in enumerate(METALS):
        for b in METALS[: i + 1]:
            (fa, pa, _), (fb, pb, _) = functions[a], functions[b]
            rows.append(numbers(r * 0.5 * (fb(r) / fa(r) * pa(r) + fa(r) / fb(r) * pb(r))))
    path = tmp_path_factory.mktemp("eam") / "zhou.eam.alloy"
    path.write_text("\n".join(rows) + "\n")
    return EAM(potential=str(path))


@cache
def slopes():
    """Jitted (energy, forces, stress)."""

    def energy_and_slopes(x, lattice, topology):
        strained = lambda x, e: eam_energy(x + x @ e, lattice + lattice @ e, topology)
        energy, (slope, virial) = jax.value_and_grad(strained, (0, 1))(x, jnp.zeros((3, 3)))
        return energy, -slope, 0.5 * (virial + virial.T) / jnp.abs(jnp.linalg.det(lattice))

    return jax.jit(energy_and_slopes)


def measure(atoms: Atoms, n_row: int = 240, n_atom: int = 16):
    crystal = from_ase(atoms)
    with jax.enable_x64(True):
        found = neighbours_of(crystal, cutoffs(), n_atom=n_atom, n_edge=n_atom * n_row)
        x = np.full((n_atom, 3), 1.7)
        x[: len(crystal)] = crystal.positions
        energy, forces, stress = slopes()(x, crystal.lattice, found)
        return float(energy), np.asarray(forces), np.asarray(stress)


def alloy(structure: str, seed: int) -> Atoms:
    """A strained, rattled alloy of all metals."""
    draw = np.random.default_rng(seed)
    atoms = {
        "fcc": bulk("Cu", "fcc", 3.85, cubic=True) * (2, 2, 1),
        "bcc": bulk("Fe", "bcc", 3.1, cubic=True) * (2, 2, 2),
        "hcp": bulk("Ti", "hcp", 2.75, 4.5) * (2, 2, 2),
    }[structure]
    atoms.numbers = draw.permutation(np.resize([atomic_numbers[s] for s in METALS], len(atoms)))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + draw.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


@pytest.mark.parametrize("structure", ["fcc", "bcc", "hcp"])
def test_energy_forces_and_stress_are_those_of_ase(structure: str, ase_eam: EAM) -> None:
    atoms = alloy(structure, 3)
    energy, forces, stress = measure(atoms)
    atoms.calc = ase_eam
    assert abs(energy - atoms.get_potential_energy()) / len(atoms) < 2e-4  # what the cutoff leaves out
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=2e-3)
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-9)
    # ASE's calculator has no analytic stress: strain the cell instead
    step = 1e-4
    for i, j in ((0, 0), (2, 2), (0, 1)):
        strained = []
        for sign in (step, -step):
            copy = atoms.copy()
            copy.calc = ase_eam
            strain = np.zeros((3, 3))
            strain[i, j] += sign / 2
            strain[j, i] += sign / 2
            copy.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            strained.append(copy.get_potential_energy())
        assert abs((strained[0] - strained[1]) / (2 * step) / atoms.get_volume() - stress[i, j]) < 5e-4


def test_branches_of_the_embedding_energy_meet() -> None:
    for symbol in METALS:
        _, _, embedding = naive(symbol)
        p = {name: column[atomic_numbers[symbol]] for name, column in parameters().items()}
        for joint in (p["rho_n"] * p["rho_e"], 1.15 * p["rho_e"]):
            assert abs(embedding(joint * (1 + 1e-9)) - embedding(joint * (1 - 1e-9))) < 2e-3


FACTS = {
    "Cu": ("fcc", 3.613, -3.54),
    "Ni": ("fcc", 3.52, -4.45),
    "Al": ("fcc", 4.05, -3.58),
    "Fe": ("bcc", 2.866, -4.29),
    "W": ("bcc", 3.165, -8.76),
    "Cr": ("bcc", 2.88, -4.10),
}


@pytest.mark.parametrize("symbol", FACTS)
def test_lattice_constant_and_cohesive_energy_are_the_published_ones(symbol: str) -> None:
    structure, a, cohesive = FACTS[symbol]
    lengths = a * np.linspace(0.985, 1.015, 7)
    energies = [measure(bulk(symbol, structure, length))[0] for length in lengths]
    parabola = np.polyfit(lengths, energies, 3)
    best = next(r.real for r in np.roots(np.polyder(parabola)) if lengths[0] < r.real < lengths[-1])
    assert abs(best / a - 1) < 0.004
    assert abs(np.polyval(parabola, best) - cohesive) < 0.02


def test_padding_cannot_be_felt() -> None:
    atoms = alloy("bcc", 5)
    energy, forces, stress = measure(atoms)
    more = measure(atoms, 256, 24)
    np.testing.assert_allclose(more[0], energy, rtol=1e-13)
    np.testing.assert_allclose(more[1][: len(atoms)], forces, atol=1e-12)
    np.testing.assert_allclose(more[1][len(atoms) :], 0)
    np.testing.assert_allclose(more[2], stress, atol=1e-13)


def test_energy_is_extensive_and_knows_no_orientation() -> None:
    atoms = alloy("bcc", 7)
    energy, forces, _ = measure(atoms)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation)
    turned.positions = atoms.positions @ rotation
    np.testing.assert_allclose(measure(turned)[0], energy, rtol=1e-12)
    np.testing.assert_allclose(measure(turned)[1], forces @ rotation, atol=1e-10)
    np.testing.assert_allclose(measure(atoms * (2, 1, 1), n_atom=32)[0], 2 * energy, rtol=1e-12)


def test_an_element_that_is_not_in_the_table_is_not_a_number() -> None:
    atoms = bulk("Cu", "fcc", 3.6, cubic=True)
    with jax.enable_x64(True):
        found = neighbours_of(from_ase(atoms), 5.0)._replace(numbers=np.array([29, 29, 29, 6], np.int32))
        assert np.isnan(eam_energy(atoms.positions, atoms.cell.array, found))


def test_single_precision_is_good_to_a_hundredth_of_a_mev() -> None:
    atoms = alloy("fcc", 2)
    crystal = from_ase(atoms)
    found = neighbours_of(crystal, cutoffs())
    single = float(eam_energy(crystal.positions.astype("float32"), crystal.lattice.astype("float32"), found))
    assert abs(single - measure(atoms)[0]) / len(atoms) < 1e-5
    assert edge_vectors(crystal.positions.astype("float32"), crystal.lattice.astype("float32"), found).dtype == jnp.float32
