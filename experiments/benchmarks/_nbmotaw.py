"""Density functional theory of Nb, Mo, Ta and W for the benchmarks: elements and binaries to train on, the four-element alloy to meet.

Of the 5,658 frames of Li et al. (2020), npj Comput. Mater. 6, 70: 1,024 of the elements and binaries to train on; 160 of their own
test groups (40 elements of 54 atoms in motion, 120 binaries of 8); and the 16 quaternary cells of 128. Its 50 surfaces are left
out, so that no cell to train on has more than 54 atoms. Drawn with a fixed seed, written in the form of `_crystals.py`.
"""

import gzip
import io
import re
from pathlib import Path

import numpy as np
from _crystals import parts, save

SOURCE = Path(__file__).parents[3] / "shared" / "data" / "nbmotaw" / "nbmotaw_pbe.extxyz.gz"
N_TRAIN = 1024
N_TEST = {1: 10, 2: 20}  # elements: frames of each test group
QUATERNARY = "Multinary_Test"


def write(folder: Path, source: Path = SOURCE) -> None:
    """Writes the parts, unless they are there.

    Raises:
      FileNotFoundError: If the frames are needed and not there.
    """
    if len(parts(folder)) == 3:
        return
    if not source.exists():
        raise FileNotFoundError(f"no frames at {source}; name the extended XYZ file with --source (github.com/materialsvirtuallab/snap)")
    from ase.io import read

    frames = read(io.StringIO(gzip.decompress(source.read_bytes()).decode()), ":", format="extxyz")
    for part, rows in rows_of([a.info["group"] for a in frames]).items():
        save(folder, part, columns([frames[i] for i in rows]))


def rows_of(groups: list[str]) -> dict[str, np.ndarray]:
    """{part: rows of its frames}."""
    rng, names = np.random.default_rng(20242), np.array(groups)
    held = sorted({g for g in groups if g.endswith("_Test") and g != QUATERNARY})
    seen = [i for i, g in enumerate(groups) if not g.endswith(("_Test", "_Surface"))]
    test = [rng.choice(np.flatnonzero(names == g), N_TEST[len(re.findall("[A-Z]", g.split("_")[0]))], replace=False) for g in held]
    return {
        "train": rng.choice(seen, N_TRAIN, replace=False),
        "test": np.concatenate(test),
        "quaternary": np.flatnonzero(names == QUATERNARY),
    }


def columns(frames: list) -> dict[str, np.ndarray]:
    """The arrays of a part."""
    return {
        "n_atom": np.array([len(a) for a in frames]),
        "numbers": np.concatenate([a.numbers for a in frames]),
        "positions": np.concatenate([a.positions for a in frames]),
        "lattice": np.stack([a.cell.array for a in frames]),
        "energy": np.array([a.get_potential_energy() for a in frames]),
        "forces": np.concatenate([a.get_forces() for a in frames]),
    }
