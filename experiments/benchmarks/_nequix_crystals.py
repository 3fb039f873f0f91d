"""The crystals on which Nequix's weights are compared: of the embedded set and of NbMoTaW, tiny and left-handed cells among them."""

from pathlib import Path

import numpy as np


def read(path: str | Path) -> list[dict[str, np.ndarray]]:
    """Crystals: numbers [n], positions [n, 3], lattice [3, 3] (rows), Å."""
    with np.load(path) as file:
        cuts = np.cumsum(file["n_atom"])[:-1]
        rows = zip(np.split(file["numbers"], cuts), np.split(file["positions"], cuts), file["lattice"], strict=True)
        return [{"numbers": n, "positions": x, "lattice": a} for n, x, a in rows]


def write(path: str | Path, n_embedded: int, n_alloy: int, n_timed: int) -> None:
    """Writes the crystals; every tenth has two lattice vectors exchanged and is left-handed.

    The last `n_timed` are one cell of 16 atoms in as many positions: a calculator compiles once for them.
    """
    from matjax.data import load

    every = load("flla").crystals
    rng = np.random.default_rng(7)
    chosen = [every[i] for i in np.linspace(0, len(every) - 1, n_embedded).astype(int)]
    crystals = [(c.numbers, c.positions, c.lattice) for c in chosen] + [alloy(rng) for _ in range(n_alloy)]
    crystals = [(n, x, a[[1, 0, 2]] if i % 10 == 0 else a) for i, (n, x, a) in enumerate(crystals)]
    numbers, positions, lattice = alloy(rng, (2, 2, 2), cubic=True)
    crystals += [(numbers, positions + rng.normal(0, 0.02, positions.shape), lattice) for _ in range(n_timed)]
    numbers, positions, lattice = zip(*crystals, strict=True)
    np.savez(
        path,
        n_atom=[len(n) for n in numbers],
        numbers=np.concatenate(numbers),
        positions=np.concatenate(positions),
        lattice=np.stack(lattice),
    )


def alloy(rng: np.random.Generator, repeat: tuple[int, ...] = (), cubic: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bcc cell of Nb, Mo, Ta and W, of 1 to 16 atoms unless it is said, rattled by 0.1 Å and strained by up to 5 %."""
    from ase.build import bulk

    atoms = bulk("W", "bcc", a=3.24, cubic=cubic or bool(rng.integers(2))) * (repeat or tuple(rng.integers(1, 3, 3)))
    atoms.numbers = rng.choice([41, 42, 73, 74], len(atoms))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.05, 0.05, (3, 3))), scale_atoms=True)
    return atoms.numbers, atoms.positions + rng.normal(0, 0.1, (len(atoms), 3)), atoms.cell.array
