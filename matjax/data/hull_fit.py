"""Can the energies of a data set be put on a given convex hull? Labels are compared where both know the same compound."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from typing import Literal

import numpy as np

from matjax.data.check import is_formation
from matjax.data.domains import domain_labels, space_group
from matjax.types import Crystal, Dataset

Verdict = Literal["yes", "unsure", "no"]
MAX_OFFSET = 0.025  # eV/atom; what moves a compound on or off a hull
MAX_SPREAD = 0.05  # eV/atom, robust; two settings of the same functional differ by less
FEWEST_SHARED = 5  # compounds in both sets that make a comparison
VOLUME_TOLERANCE = 0.1  # of the volume per atom: two functionals differ by 0.05
FUNCTIONALS = ("r2SCAN", "SCAN", "PBEsol", "PBE0", "revPBE", "RPBE", "PBE", "HSE", "B3LYP", "PW91", "LDA", "EAM", "EMT", "experiment")


@dataclasses.dataclass(frozen=True)
class HullFit:
    """Whether a data set can be put on a hull, and why.

    Attributes:
      verdict: "yes", "unsure" (nothing speaks against it, but the agreement could not be shown) or "no".
      reasons: What speaks for and against it, in words; the decisive ones first.
      label: Formation energy of the data set that was compared; None where it has none.
      n_shared: Crystals whose compound (composition, space group, volume) the hull knows too.
      offset: Median of data minus hull over these, eV/atom; None where nothing is shared.
      spread: Robust standard deviation of the differences, eV/atom.
      groups: {anion class: (n, median difference)} of classes with at least `FEWEST_SHARED` shared compounds.
      n_outside: Crystals with an element that the hull does not have.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    label: str | None = None
    n_shared: int = 0
    offset: float | None = None
    spread: float | None = None
    groups: dict[str, tuple[int, float]] = dataclasses.field(default_factory=dict)
    n_outside: int = 0


def hull_fit(dataset: Dataset, hull: Dataset, *, label: str | None = None) -> HullFit:
    """Whether formation energies of a data set and of a hull mean the same.

    Functional, reference and unit are compared by what the metadata say, and the labels where both sets have the same
    compound: same reduced formula and space group, and the volume per atom within `VOLUME_TOLERANCE` (the nearest of several).

    Args:
      dataset: What is to be put on the hull.
      hull: What spans the hull, with formation energies.
      label: Formation energy of the data set; by default the first label that is one.

    Returns:
      The verdict: "no" if there are no formation energies, or functionals differ, or labels disagree by more than
      `MAX_OFFSET` (median, also of an anion class) or `MAX_SPREAD`; "unsure" if too few compounds are shared to tell.

    Raises:
      ValueError: If the hull has no formation energies, or the data set no such label.

    Example:
      >>> from matjax.data import load
      >>> flla = load("flla")
      >>> hull_fit(flla.select(range(100)), flla).verdict
      'yes'
    """
    reference = formation_label(hull)
    if reference is None:
        raise ValueError(f"{hull.metadata.name} spans no hull: it has no formation energy, only {', '.join(hull.labels) or 'no labels'}")
    if label is not None and label not in dataset.labels:
        raise ValueError(f"the data have no label {label!r}; they have: {', '.join(dataset.labels) or 'none'}")
    label = label or formation_label(dataset)
    if label is None:
        return HullFit("no", (_no_formation(dataset),))
    against = _meaning(dataset, hull, label)
    open_questions = _unknown(dataset, hull)
    outside = _outside(dataset, hull)
    if outside == len(dataset):
        against.append(f"every crystal has an element that {hull.metadata.name} does not have")
    shared = _shared(dataset, hull, label, reference)
    evidence, disagreement = _agreement(shared, hull.metadata.name)
    against += disagreement
    verdict = "no" if against else "yes" if len(shared.difference) >= FEWEST_SHARED else "unsure"
    aside = [f"crystals with an element that {hull.metadata.name} does not have: {outside}; they cannot be placed"] if outside else []
    return HullFit(
        verdict,
        (*against, *evidence, *open_questions, *aside),
        label,
        len(shared.difference),
        *((_median(shared.difference), _spread(shared.difference)) if len(shared.difference) else (None, None)),
        shared.groups(),
        outside,
    )


def formation_label(dataset: Dataset) -> str | None:
    """The first label that is a formation energy per atom, or None; energies above a hull are none."""
    found = [name for name in dataset.labels if is_formation(name) and "hull" not in name.lower()]
    return next((name for name in found if name == "formation_energy_per_atom"), found[0] if found else None)


def functionals(text: str) -> frozenset[str]:
    """The functionals that a description names: `"PBE, GGA and GGA+U mixed"` names PBE; empty where it names none known."""
    words = "|".join(sorted(FUNCTIONALS, key=len, reverse=True))
    return frozenset(word.lower() for word in re.findall(rf"(?<![a-z0-9])({words})(?![a-z])", text, re.IGNORECASE))


def _no_formation(dataset: Dataset) -> str:
    if "energy" in dataset.labels:
        return (
            "the energies are total energies, not formation energies: subtract, per atom, the energies of the elements in their "
            "reference states, computed with the same settings"
        )
    if any("hull" in name.lower() for name in dataset.labels):
        return "there are energies above another hull, but no formation energies"
    return f"there is no formation energy among the labels ({', '.join(dataset.labels) or 'none'})"


def _meaning(dataset: Dataset, hull: Dataset, label: str) -> list[str]:
    """What the metadata say against it."""
    mine, theirs = dataset.metadata, hull.metadata
    found = []
    named, expected = functionals(mine.functional), functionals(theirs.functional)
    if named and expected and named != expected:
        found.append(f"functional {mine.functional!r} is not {theirs.functional!r} of {theirs.name}")
    if mine.reference not in ("elements", "unknown"):
        found.append(f"{label} is relative to {mine.reference!r}, a hull needs energies relative to the elements")
    if (unit := mine.units.get(label, "")) not in ("", "eV/atom"):
        found.append(f"{label} is in {unit}, a hull needs eV/atom")
    return found


def _unknown(dataset: Dataset, hull: Dataset) -> list[str]:
    """What the metadata leave open."""
    mine, theirs = dataset.metadata, hull.metadata
    found = []
    if not functionals(mine.functional):
        found.append(f"unknown functional ({mine.functional!r}); the shared compounds alone can show that it is {theirs.functional!r}")
    elif mine.functional != theirs.functional:
        found.append(f"functional {mine.functional!r} against {theirs.functional!r}: corrections and +U may differ")
    if mine.reference == "unknown":
        found.append("the reference of the energies is not stated")
    return found


def _outside(dataset: Dataset, hull: Dataset) -> int:
    """Crystals with an element that no crystal of the hull has."""
    known = np.unique(np.concatenate([c.numbers for c in hull.crystals]))
    return sum(not np.isin(crystal.numbers, known).all() for crystal in dataset.crystals)


@dataclasses.dataclass(frozen=True)
class _Shared:
    """Compounds in both sets: ids of the data set, differences data - hull in eV/atom, anion classes."""

    ids: list[str]
    difference: np.ndarray
    anion: np.ndarray

    def groups(self) -> dict[str, tuple[int, float]]:
        found = {str(a): self.difference[self.anion == a] for a in np.unique(self.anion)}
        return {a: (len(d), _median(d)) for a, d in found.items() if len(d) >= FEWEST_SHARED}


def _shared(dataset: Dataset, hull: Dataset, label: str, reference: str) -> _Shared:
    """Compares every labelled crystal with the hull's nearest in volume of the same formula and space group.

    Space groups are computed only for formulas that both sets have.
    """
    mine, theirs = (domain_labels(d, "composition") for d in (dataset, hull))
    values, expected = np.asarray(dataset.labels[label], float), np.asarray(hull.labels[reference], float)
    rows = np.flatnonzero(np.isfinite(values) & np.isin(mine, theirs))
    others = defaultdict(list)
    for j in np.flatnonzero(np.isfinite(expected) & np.isin(theirs, mine[rows])):
        others[theirs[j], _group(hull, int(j))].append(j)
    pairs = []
    for i in rows:
        near = {
            j: abs(_volume(hull.crystals[j]) / _volume(dataset.crystals[i]) - 1) for j in others.get((mine[i], _group(dataset, int(i))), [])
        }
        if near and near[best := min(near, key=near.__getitem__)] <= VOLUME_TOLERANCE:
            pairs.append((i, best))
    mine_rows, hull_rows = (np.array(column, int) for column in (zip(*pairs, strict=True) if pairs else ([], [])))
    anion = domain_labels(dataset.select(mine_rows), "anion") if pairs else np.zeros(0, str)
    return _Shared([dataset.ids[i] for i in mine_rows], values[mine_rows] - expected[hull_rows], anion)


def _group(dataset: Dataset, row: int) -> int:
    """Space group of one crystal: the data set's own column, else spglib."""
    own = dataset.domains.get("space_group")
    return int(own[row]) if own is not None else space_group(dataset.crystals[row])


def _volume(crystal: Crystal) -> float:
    return crystal.volume / len(crystal)


def _agreement(shared: _Shared, name: str) -> tuple[list[str], list[str]]:
    """(what the shared compounds say, what of it speaks against the hull)."""
    difference = shared.difference
    if len(difference) < FEWEST_SHARED:
        return [f"{len(difference)} compounds are shared with {name}, fewer than {FEWEST_SHARED}: the labels cannot be compared"], []
    offset, spread = _median(difference), _spread(difference)
    farthest = int(np.abs(difference - offset).argmax())
    evidence = [
        f"{len(difference)} compounds are shared with {name}: data minus hull is {offset:+.3f} eV/atom in the median, spread {spread:.3f}, "
        f"farthest {shared.ids[farthest]} ({difference[farthest]:+.3f})"
    ]
    against = []
    if abs(offset) > MAX_OFFSET:
        kind = "a constant offset, another reference or correction" if spread <= MAX_OFFSET else "not a constant"
        against.append(f"the labels are {offset:+.3f} eV/atom off the hull's, more than {MAX_OFFSET} ({kind})")
    if spread > MAX_SPREAD:
        against.append(
            f"the labels scatter by {spread:.3f} eV/atom about the hull's, more than {MAX_SPREAD}: another method or other structures"
        )
    far = {a: (n, d) for a, (n, d) in shared.groups().items() if abs(d - offset) > MAX_OFFSET}
    if far:
        listed = ", ".join(f"{a} {d:+.3f} ({n})" for a, (n, d) in sorted(far.items(), key=lambda item: -abs(item[1][1] - offset)))
        against.append(f"the offset depends on the anion class, as corrections do: {listed} eV/atom")
    return evidence, against


def _median(values: np.ndarray) -> float:
    return float(np.median(values))


def _spread(values: np.ndarray) -> float:
    """Robust standard deviation: 1.4826 times the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
