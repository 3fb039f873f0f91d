"""The data of the benchmarks: rattled, strained fcc and bcc alloys of 8 to 32 atoms, labelled by ASE's effective medium theory.

256 crystals to train on and 64 to test on, of up to four of seven metals each; the same on every machine, which is checked by
hash. Written in the form of `_crystals.py`.

    python experiments/benchmarks/_alloys.py DIR
"""

import sys
from pathlib import Path

import numpy as np
from _crystals import parts, save

LATTICE = {"Al": 4.05, "Ni": 3.52, "Cu": 3.61, "Pd": 3.89, "Ag": 4.09, "Pt": 3.92, "Au": 4.08}  # fcc, Å
NUMBERS = (13, 28, 29, 46, 47, 78, 79)
REPEATS = {
    "fcc": [(1, 1, 2), (1, 1, 3), (1, 2, 2), (1, 2, 3), (2, 2, 2), (1, 1, 4), (1, 2, 4)],
    "bcc": [(1, 2, 2), (2, 2, 2), (1, 2, 3), (2, 2, 3), (2, 2, 4), (1, 2, 4), (2, 3, 2), (1, 3, 3)],
}
PARTS = {"train": (256, 20240), "test": (64, 20241)}  # crystals, seed


def write(folder: Path) -> None:
    """Writes the parts that are not there yet."""
    for part in PARTS.keys() - parts(folder):
        save(folder, part, labelled(*PARTS[part]))


def labelled(n: int, seed: int) -> dict[str, np.ndarray]:
    """Crystals with energies, forces and stress of the effective medium theory."""
    from ase.calculators.emt import EMT

    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        atoms = alloy(rng)
        atoms.calc = EMT()
        rows.append((atoms, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)))
    atoms, energy, forces, stress = zip(*rows, strict=True)
    return {
        "n_atom": np.array([len(a) for a in atoms]),
        "numbers": np.concatenate([a.numbers for a in atoms]),
        "positions": np.concatenate([a.positions for a in atoms]),
        "lattice": np.stack([a.cell.array for a in atoms]),
        "energy": np.array(energy),
        "forces": np.concatenate(forces),
        "stress": np.stack(stress),
    }


def alloy(rng: np.random.Generator):
    """A random solution on fcc or bcc with the mean volume of its atoms, strained by up to 3 %, rattled by 0.05 Å."""
    from ase.build import bulk

    kind = "fcc" if rng.random() < 0.5 else "bcc"
    repeat = REPEATS[kind][rng.integers(len(REPEATS[kind]))]
    elements = rng.choice(list(LATTICE), rng.integers(1, 5), replace=False)
    symbols = rng.choice(elements, int(np.prod(repeat)) * {"fcc": 4, "bcc": 2}[kind])
    a = np.mean([LATTICE[s] for s in symbols])
    if kind == "bcc":
        a = (a**3 / 4 * 2) ** (1 / 3)
    atoms = bulk("Cu", kind, a=a, cubic=True) * repeat
    atoms.set_chemical_symbols(list(symbols))
    strain = rng.uniform(-0.03, 0.03, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
    return atoms


if __name__ == "__main__":
    write(Path(sys.argv[1]))
