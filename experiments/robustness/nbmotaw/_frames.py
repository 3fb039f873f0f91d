"""Frames of Nb, Mo, Ta and W by density functional theory, and who trains, calibrates and tests on which."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from matjax.config import spec
from matjax.data.elements import number, symbol
from matjax.data.read import read
from matjax.keys import child, generator
from matjax.types import Crystal, Dataset

SOURCE = Path(__file__).resolve().parents[4] / "shared" / "data" / "nbmotaw" / "nbmotaw_pbe.extxyz.gz"
ELEMENTS = ("Mo", "Nb", "Ta", "W")
BINARIES = ("MoTa", "MoW", "NbMo", "NbTa", "NbW", "TaW")
QUATERNARY = "Multinary_Test"
THERMAL = (0.9, 1.5)
"""Root mean square force components (eV/Å) that part the three thermal groups of the quaternary."""


@spec
class Sizes:
    """Frames of each group: strained elements (`Elastic`), elements in motion (`AIMD`), solid solutions of two (`SS`).

    Attributes:
      elastic: Training frames per element.
      dynamics: Training frames per element.
      solution: Training frames per binary.
      validation: Frames per group that choose the epoch.
      calibration: Frames per group that calibrate inside intervals.
      features: Training frames whose latent features are kept, in all.
      test: Test frames per group at most.
    """

    elastic: int = 60
    dynamics: int = 170
    solution: int = 250
    validation: int = 6
    calibration: int = 20
    features: int = 600
    test: int = 40


class Parts(NamedTuple):
    """Rows of one hold-out: training, validation, calibration and inside test frames are free of what is held out."""

    train: np.ndarray
    validation: np.ndarray
    calibration: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    quaternary: np.ndarray


def frames(first: int | None = None) -> Dataset:
    """All frames, with a domain column `system` (the elements, "MoTa"); of each group the first so many.

    Raises:
      FileNotFoundError: If the data are not there.
    """
    data = read(SOURCE)
    if first is not None:
        group = data.domains["group"].astype(str)
        data = data.select(np.concatenate([np.flatnonzero(group == g)[:first] for g in np.unique(group)]))
    return data.with_domains(system=np.array([system(c) for c in data.crystals]))


def system(crystal: Crystal) -> str:
    """Symbols of the elements, in alphabetical order."""
    return "".join(sorted(symbol(int(z)) for z in np.unique(crystal.numbers)))


def holdouts() -> tuple[str, ...]:
    """What is held out: nothing, a binary or an element (with its binaries)."""
    return ("none", *BINARIES, *ELEMENTS)


def parts(data: Dataset, held: str, sizes: Sizes, key: jax.Array) -> Parts:
    """Rows of a hold-out; the same frames play the same part in every hold-out that has them."""
    group = data.domains["group"].astype(str)
    out = np.array([is_held(c, held) for c in data.crystals])
    n_train = {"Elastic": sizes.elastic, "AIMD": sizes.dynamics, "SS": sizes.solution}
    found: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "calibration": []}
    for name in sorted(set(group)):
        kind = name.rsplit("_", 1)[1]
        if kind not in n_train:  # tests, and the few surfaces, whose cells are large
            continue
        rows = generator(child(key, name)).permutation(np.flatnonzero((group == name) & ~out))
        a, b = sizes.validation, sizes.validation + sizes.calibration
        for part, some in (("validation", rows[:a]), ("calibration", rows[a:b]), ("train", rows[b:][: n_train[kind]])):
            found[part].append(some)
    tests = [np.flatnonzero(group == name)[: sizes.test] for name in sorted(set(group)) if name.endswith("_Test") and name != QUATERNARY]
    test = np.concatenate(tests)
    joined = {part: np.concatenate(rows) for part, rows in found.items()}
    return Parts(**joined, inside=test[~out[test]], outside=test[out[test]], quaternary=np.flatnonzero(group == QUATERNARY))


def is_held(crystal: Crystal, held: str) -> bool:
    """Whether a crystal belongs to what is held out: all crystals with that element, or with both elements of that binary."""
    if held == "none":
        return False
    wanted = {number(held)} if held in ELEMENTS else {number(s) for s in ELEMENTS if s in held}
    return wanted <= set(crystal.numbers.tolist())


def thermal_group(forces: np.ndarray) -> int:
    """0, 1 or 2: cool, warm or hot, by the root mean square force component in eV/Å [n_atom, 3]."""
    return int(np.digitize(np.sqrt(np.mean(forces**2)), THERMAL))
