"""The data of the benchmarks: rattled, strained fcc and bcc alloys of 8 to 32 atoms, labelled by ASE's effective medium theory.

256 crystals to train on and 64 to test on, of up to four of seven metals each; the same on every machine, which is checked by
hash. Written as `train.npz` and `test.npz`: atoms of all crystals one after another, `n_atom` says where each ends. This file
needs NumPy only where the data exist already, so that every peer reads them in its own environment.

    python experiments/benchmarks/_alloys.py DIR
"""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np

LATTICE = {"Al": 4.05, "Ni": 3.52, "Cu": 3.61, "Pd": 3.89, "Ag": 4.09, "Pt": 3.92, "Au": 4.08}  # fcc, Å
NUMBERS = (13, 28, 29, 46, 47, 78, 79)
REPEATS = {
    "fcc": [(1, 1, 2), (1, 1, 3), (1, 2, 2), (1, 2, 3), (2, 2, 2), (1, 1, 4), (1, 2, 4)],
    "bcc": [(1, 2, 2), (2, 2, 2), (1, 2, 3), (2, 2, 3), (2, 2, 4), (1, 2, 4), (2, 3, 2), (1, 3, 3)],
}
PARTS = {"train": (256, 20240, "11f322973ef78122"), "test": (64, 20241, "d5d051d2fff1ab29")}  # crystals, seed, hash
DECIMALS = 6  # of the numbers that are hashed: libraries differ in the last bits


def folder() -> Path:
    """Where the data are kept if nothing else is said."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matjax" / "benchmarks"


def read(folder: Path, part: str) -> list[dict[str, np.ndarray]]:
    """Crystals of a part: numbers [n], positions [n, 3], lattice [3, 3] (rows), energy, forces [n, 3], stress [3, 3]; eV and Å.

    Raises:
      ValueError: If the file is not the data that the figures belong to.
    """
    with np.load(Path(folder) / f"{part}.npz") as file:
        arrays = dict(file)
    if (found := digest(arrays)) != PARTS[part][2]:
        raise ValueError(f"{folder}/{part}.npz has hash {found}, not {PARTS[part][2]}: not the data of this benchmark; delete it")
    cuts = np.cumsum(arrays.pop("n_atom"))[:-1]
    atomic = {k: np.split(arrays.pop(k), cuts) for k in ("numbers", "positions", "forces")}
    columns = {**atomic, **arrays}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def write(folder: Path) -> None:
    """Writes the parts that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, (n, seed, _) in PARTS.items():
        path = folder / f"{part}.npz"
        if not path.exists():
            with (partial := path.with_suffix(".part")).open("wb") as file:
                np.savez_compressed(file, **labelled(n, seed))
            partial.replace(path)
        read(folder, part)


def references(folder: Path) -> dict[int, float]:
    """{atomic number: eV per atom}: least squares of the training energies, the same for every model."""
    train = read(folder, "train")
    counts = np.array([[np.sum(c["numbers"] == z) for z in NUMBERS] for c in train])
    energies = np.linalg.lstsq(counts, np.array([c["energy"] for c in train]), rcond=None)[0]
    return dict(zip(NUMBERS, map(float, energies), strict=True))


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Hash of the arrays to six decimals (16 hex digits)."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(name.encode() + (np.round(arrays[name].astype(np.float64), DECIMALS) + 0.0).tobytes())
    return found.hexdigest()[:16]


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
