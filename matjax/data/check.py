"""What cannot be trained on: impossible crystals, impossible labels, and what happens to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import vesin
from ase.data import chemical_symbols

from matjax.types import Crystal, Dataset
from matjax.units import energy_to_ev

Policy = Literal["set_aside", "raise"]
MAX_ATOMS = 100_000
MIN_DISTANCE = 0.5  # Å; the shortest bond there is, H2, has 0.74
MAX_FORCE = 1e3  # eV/Å
MAX_FORMATION = 6.0  # eV/atom; the strongest bound compounds, rare-earth fluorides, have -4.5


def check_policy(policy: str) -> None:
    """Refuses a policy that is not one of `Policy`.

    Raises:
      ValueError: Naming the allowed ones.
    """
    if policy not in get_args(Policy):
        raise ValueError(f"unknown policy {policy!r}; allowed: {', '.join(get_args(Policy))}")


def problems(crystal: Crystal, *, max_atoms: int = MAX_ATOMS, min_distance: float = MIN_DISTANCE) -> list[str]:
    """What makes a crystal impossible, in words; empty for a sound one.

    The size comes first and the neighbour list last, so that a million atoms or a collapsed cell cost nothing. A
    left-handed lattice is legal, and so is partial periodicity (see `periodicity`).

    Args:
      crystal: Any crystal.
      max_atoms: Refuse more atoms than this.
      min_distance: Two atoms, or an atom and its own image, closer than this (Å) overlap.

    Returns:
      One line per problem.
    """
    n_atom = len(crystal)
    if n_atom == 0:
        return ["it has no atoms"]
    if n_atom > max_atoms:
        return [f"{n_atom:,} atoms are more than max_atoms={max_atoms:,}; cut a smaller cell or raise max_atoms"]
    found = _elements(crystal) + _finite(crystal)
    return found or _cell(crystal) or _overlap(crystal, min_distance)


def _elements(crystal: Crystal) -> list[str]:
    wrong = np.flatnonzero((crystal.numbers < 1) | (crystal.numbers > 118))
    if not wrong.size:
        return []
    number = int(crystal.numbers[wrong[0]])
    return [f"atom {wrong[0]} has atomic number {number}{' (dummy X)' * (number == 0)}; elements are 1 to 118"]


def _finite(crystal: Crystal) -> list[str]:
    found = [] if np.isfinite(crystal.lattice).all() else ["the lattice has NaN or infinite entries"]
    wrong = np.flatnonzero(~np.isfinite(crystal.positions).all(1))
    return found + ([f"atom {wrong[0]} has a NaN or infinite position"] if wrong.size else [])


def _cell(crystal: Crystal) -> list[str]:
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    if crystal.volume >= max(0.1, 1e-5 * lengths.prod()):
        return []
    return [f"the cell has no volume ({crystal.volume:.3g} Å³ for vectors of {', '.join(f'{x:.3g}' for x in lengths)} Å)"]


def _overlap(crystal: Crystal, min_distance: float) -> list[str]:
    neighbours = vesin.NeighborList(cutoff=max(min_distance, 2.0), full_list=False, n_threads=1)  # tiny bins are slow
    pairs = neighbours.compute(crystal.positions, crystal.lattice, crystal.pbc.tolist(), "ijd")
    i, j, d = (column[pairs[2] < min_distance] for column in pairs)
    if not len(d):
        return []
    k = int(np.argmin(d))
    a, b = (f"{n} ({chemical_symbols[crystal.numbers[n]]})" for n in (i[k], j[k]))
    pair = f"atom {a} and its own image" if i[k] == j[k] else f"atoms {a} and {b}"
    more = f" ({len(d)} such pairs)" if len(d) > 1 else ""
    return [f"{pair} overlap: {d[k]:.3f} Å apart, less than {min_distance} Å{more}"]


def label_problems(crystal: Crystal, values: Mapping[str, Any]) -> list[str]:
    """What makes the labels of one crystal impossible; absent labels (None, or missing) are fine.

    Args:
      crystal: Their crystal.
      values: {label: number}, `forces` [n_atom, 3] in eV/Å, `stress` [3, 3].

    Returns:
      One line per problem: NaN or infinite values, a wrong shape, forces above 1000 eV/Å.
    """
    shapes = {"forces": (len(crystal), 3), "stress": (3, 3)}
    found = []
    for name, value in values.items():
        if value is None:
            continue
        array = np.asarray(value, float)
        if array.shape != shapes.get(name, ()):
            found.append(f"{name} has shape {array.shape}; it must be {shapes.get(name, ())}")
        elif not np.isfinite(array).all():
            found.append(f"{name} is {value if array.ndim == 0 else 'NaN or infinite in places'}; leave it out where there is no value")
        elif name == "forces" and np.abs(array).max() > MAX_FORCE:
            found.append(f"a force of {np.abs(array).max():.3g} eV/Å is beyond {MAX_FORCE:g}; check its unit, or leave the frame out")
    return found


def is_formation(label: str) -> bool:
    """Whether a label names a formation energy or an energy above the hull per atom, by the habits of the public tables."""
    name = label.lower()
    per_atom = name.endswith("_per_atom") and ("form" in name or "hull" in name)
    return per_atom or "above_hull" in name or name.startswith(("e_form", "ehull", "e_hull"))


def check_units(label: str, values: np.ndarray, unit: str) -> None:
    """Refuses formation energies whose size says that they are not in eV/atom.

    No set of crystals has a median magnitude of formation energies beyond 6 eV/atom, while 0.1 eV/atom is already
    9.6 kJ/mol. Total energies are not judged: their zero is arbitrary.

    Args:
      label: Name of the label.
      values: [n], NaN where absent.
      unit: The unit they are said to be in.

    Raises:
      ValueError: Naming the likely unit and what to pass.
    """
    size = np.abs(values[np.isfinite(values)])
    if unit != "eV/atom" or not is_formation(label) or not size.size or np.median(size) <= MAX_FORMATION:
        return
    median = float(np.median(size))
    in_ev = {name: median * energy_to_ev(name) for name in ("kJ/mol/atom", "meV/atom")}
    likely = {name: f"{name} (then {value:.3g} eV/atom)" for name, value in in_ev.items() if value <= MAX_FORMATION}
    looks = " or ".join(likely.values()) or "no energy per atom"
    raise ValueError(
        f"{label}: the median magnitude is {median:.4g}, which cannot be {unit}; it looks like {looks}. "
        f"Pass units={{{label!r}: {next(iter(likely), 'kJ/mol/atom')!r}}}, or whatever the source says"
    )


def check_labels(dataset: Dataset) -> None:
    """Applies `label_problems` to every crystal and `check_units` to every label of a data set.

    Raises:
      ValueError: Naming the crystal or label and what to do.
    """
    for row, (crystal, name) in enumerate(zip(dataset.crystals, dataset.ids, strict=True)):
        values = {label: column[row] for label, column in dataset.labels.items()}
        present = {label: value for label, value in values.items() if not np.isnan(value).all()}
        if found := label_problems(crystal, present):
            raise ValueError(f"{dataset.metadata.name}: {name}: {'; '.join(found)}")
    for label, column in dataset.labels.items():
        if label not in ("forces", "stress"):
            check_units(label, np.asarray(column), dataset.metadata.units.get(label, ""))


def outliers(dataset: Dataset, label: str, *, n_deviation: float = 15.0) -> np.ndarray:
    """Rows whose scalar label lies far from the rest: worth a look, not removed.

    The distance is from the median, in robust standard deviations (1.4826 times the median absolute deviation). A total
    `energy` is first reduced to what a least-squares sum of element energies leaves, per atom.

    Args:
      dataset: Any data set.
      label: One of its scalar labels.
      n_deviation: How far is far. Fifteen: the tails of real property tables are heavy.

    Returns:
      Rows, farthest first.
    """
    values = np.array(dataset.labels[label], float)
    rows = np.flatnonzero(np.isfinite(values))
    if label == "energy" and rows.size:
        values[rows] = _residual([dataset.crystals[i] for i in rows], values[rows])
    centred = np.abs(values[rows] - np.median(values[rows])) if rows.size else values[rows]
    deviation = 1.4826 * np.median(centred) if rows.size else 0.0
    if deviation == 0.0:
        return np.zeros(0, int)
    far = centred > n_deviation * deviation
    return rows[far][np.argsort(-centred[far], kind="stable")]


def _residual(crystals: list[Crystal], energies: np.ndarray) -> np.ndarray:
    """Energy per atom [n] minus its least-squares fit by element fractions."""
    counts = np.stack([np.bincount(c.numbers, minlength=119) for c in crystals]).astype(float)
    fractions = counts[:, counts.any(0)] / counts.sum(1, keepdims=True)
    per_atom = energies / counts.sum(1)
    return per_atom - fractions @ np.linalg.lstsq(fractions, per_atom, rcond=None)[0]


def periodicity(crystals: tuple[Crystal, ...]) -> str:
    """A sentence where crystals are not periodic in all three directions, or empty.

    Slabs and molecules are legal input of a graph; volume, stress and crystal system mean nothing for them, so a set that
    holds or mixes them says so in its notes.
    """
    directions = np.array([c.pbc.sum() for c in crystals])
    if (directions == 3).all():
        return ""
    kinds = ", ".join(f"{(directions == k).sum()} periodic in {k}" for k in (3, 2, 1, 0) if (directions == k).any())
    return f"mixed periodicity: {kinds} directions" if len(set(directions)) > 1 else f"all periodic in {directions[0]} directions"
