"""The form in which every peer reads the benchmarks' crystals: `train.npz`, `test.npz`, ..., checked by hash.

Atoms of all crystals stand one after another, `n_atom` says where each ends. Only NumPy is needed: every peer's environment has it.
"""

import hashlib
import os
from pathlib import Path

import numpy as np

HASHES = {  # part: {set: hash}
    "train": {"emt": "11f322973ef78122", "nbmotaw": "7373ccf8cac165e0"},
    "test": {"emt": "d5d051d2fff1ab29", "nbmotaw": "ee0d9906689e9fed"},
    "quaternary": {"nbmotaw": "8d1d79e395b95540"},
}
DECIMALS = 6  # of the numbers that are hashed: libraries differ in the last bits


def folder() -> Path:
    """Where the data are kept if nothing else is said."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matjax" / "benchmarks"


def parts(folder: str | Path) -> tuple[str, ...]:
    """The parts that a set has: one to train on, the others to test on."""
    return tuple(part for part in HASHES if (Path(folder) / f"{part}.npz").exists())


def save(folder: Path, part: str, arrays: dict[str, np.ndarray]) -> None:
    """Writes a part: n_atom, and what `read` returns of every crystal; whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{part}.npz"
    with (partial := path.with_suffix(".part")).open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(path)
    read(folder, part)


def read(folder: str | Path, part: str) -> list[dict[str, np.ndarray]]:
    """Crystals of a part: numbers [n], positions [n, 3], lattice [3, 3] (rows), energy, forces [n, 3]; eV and Å.

    Raises:
      ValueError: If the file is not the data that the figures belong to.
    """
    with np.load(Path(folder) / f"{part}.npz") as file:
        arrays = dict(file)
    if (found := digest(arrays)) not in HASHES[part].values():
        raise ValueError(f"{folder}/{part}.npz has hash {found}, not {HASHES[part]}: not the data of this benchmark; delete it")
    cuts = np.cumsum(arrays.pop("n_atom"))[:-1]
    atomic = {k: np.split(arrays.pop(k), cuts) for k in ("numbers", "positions", "forces")}
    columns = {**atomic, **arrays}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def references(folder: str | Path) -> dict[int, float]:
    """{atomic number: eV per atom}, by rising number: least squares of the training energies, the same for every model."""
    train = read(folder, "train")
    elements = np.unique(np.concatenate([c["numbers"] for c in train]))
    counts = np.array([[np.sum(c["numbers"] == z) for z in elements] for c in train])
    energies = np.linalg.lstsq(counts, np.array([c["energy"] for c in train]), rcond=None)[0]
    return dict(zip(map(int, elements), map(float, energies), strict=True))


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Hash of the arrays to six decimals (16 hex digits)."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(name.encode() + (np.round(arrays[name].astype(np.float64), DECIMALS) + 0.0).tobytes())
    return found.hexdigest()[:16]
