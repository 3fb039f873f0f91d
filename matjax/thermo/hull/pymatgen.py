"""Phases as pymatgen's entries and back, and as its phase diagram: the names around the arrays that the hull functions take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element
from pymatgen.core.entries import Entry

TOTAL = 1e-6
"""How far the fractions of a composition may miss a sum of one."""

_FAMILY = {"GGA+U": "GGA", "PBE": "GGA", "PBE+U": "GGA", "r2SCAN": "R2SCAN"}


@dataclasses.dataclass(frozen=True, eq=False)
class PhaseSet:
    """Phases with names, compositions and energies.

    Attributes:
      elements: Symbols: the columns of x.
      names: One per phase; they need not be different.
      x: Atomic fractions [n, n_element].
      energies: eV/atom [n], all with one reference; NaN where unknown.
      n_atom: Atoms per formula [n], which pymatgen counts energies by.

    Raises:
      ValueError: If shapes or symbols do not fit, or a composition is negative or does not sum to one.
    """

    elements: tuple[str, ...]
    names: tuple[str, ...]
    x: np.ndarray
    energies: np.ndarray
    n_atom: np.ndarray | None = None

    def __post_init__(self) -> None:
        n, n_element = len(self.names), len(self.elements)
        counts = () if self.n_atom is None else np.shape(self.n_atom)
        if np.shape(self.x) != (n, n_element) or np.shape(self.energies) != (n,) or counts not in ((), (n,)):
            raise ValueError(
                f"{n} names and {n_element} elements need x [{n}, {n_element}], energies [{n}] and n_atom [{n}], not"
                f" {np.shape(self.x)}, {np.shape(self.energies)}, {counts}"
            )
        unknown = [symbol for symbol in self.elements if not Element.is_valid_symbol(symbol)]
        if unknown or len(set(self.elements)) < n_element:
            raise ValueError(f"elements are different chemical symbols, not {list(self.elements)}")
        wrong = np.flatnonzero(~((np.abs(np.sum(self.x, axis=1) - 1) <= TOTAL) & np.all(np.asarray(self.x) >= 0, axis=1)))
        if len(wrong):
            i = int(wrong[0])
            raise ValueError(
                f"{self.names[i]}: fractions {np.asarray(self.x)[i].tolist()} are negative or do not sum to one ({len(wrong)} such)"
            )

    def lowest(self) -> PhaseSet:
        """One phase per composition: the lowest, the first of equals. A phase of unknown energy stays only where no other is known."""
        kept: dict[tuple[float, ...], int] = {}
        for i in np.argsort(self.energies, kind="stable"):  # NaN last
            kept.setdefault(tuple(np.round(self.x[i], 8) + 0.0), int(i))
        rows = np.array(sorted(kept.values()), int)
        n_atom = None if self.n_atom is None else self.n_atom[rows]
        return PhaseSet(self.elements, tuple(self.names[i] for i in rows), self.x[rows], self.energies[rows], n_atom)


def from_pymatgen(entries: Iterable[Entry] | PhaseDiagram, elements: Sequence[str] | None = None) -> PhaseSet:
    """The phases of pymatgen's entries (PDEntry, ComputedEntry, ...) or of a phase diagram; duplicates stay, in order.

    Args:
      entries: With energies of one reference.
      elements: Symbols in the wanted order; without it, those of the entries, by electronegativity as in pymatgen.

    Raises:
      ValueError: If there is no entry, an element is not among `elements`, or entries were computed with several functionals
        (`run_type` in their parameters; GGA and GGA+U are one family if the latter carry a correction).
    """
    entries = list(entries.all_entries if isinstance(entries, PhaseDiagram) else entries)
    if not entries:
        raise ValueError("no entries to read phases from; give at least one")
    _refuse_mixed(entries)
    present = {element.symbol for entry in entries for element in entry.composition.elements}
    symbols = tuple(str(e) for e in sorted(map(Element, present))) if elements is None else tuple(elements)
    if absent := present - set(symbols):
        raise ValueError(f"entries hold {sorted(absent)}, which is not among the elements {list(symbols)}")
    x = np.array([[entry.composition.get_atomic_fraction(symbol) for symbol in symbols] for entry in entries])
    names = tuple(str(getattr(entry, "name", "") or entry.composition.reduced_formula) for entry in entries)
    energies = np.array([entry.energy_per_atom for entry in entries], float)
    n_atom = np.array([entry.composition.num_atoms for entry in entries], float)
    return PhaseSet(symbols, names, x, energies, n_atom)


def to_pymatgen(phases: PhaseSet, energies: ArrayLike | None = None) -> list[PDEntry]:
    """Entries of pymatgen for the phases, in order; phases of unknown energy are left out.

    Args:
      phases: What to convert.
      energies: eV/atom [n] instead of the phases' own: one member's, or at one temperature.
    """
    values = np.asarray(phases.energies if energies is None else energies, float)
    if values.shape != np.shape(phases.energies):
        raise ValueError(f"{len(phases.names)} phases need as many energies, not {values.shape}")
    n_atom = np.ones(len(values)) if phases.n_atom is None else phases.n_atom
    return [
        PDEntry(Composition({s: n * f for s, f in zip(phases.elements, row, strict=True) if f > 0}), n * value, name=name)
        for name, row, n, value in zip(phases.names, phases.x, n_atom, values, strict=True)
        if np.isfinite(value)
    ]


def phase_diagram(phases: PhaseSet, energies: ArrayLike | None = None) -> PhaseDiagram:
    """The phase diagram, pymatgen's, of the phases, for its PDPlotter and everything else that takes one.

    Raises:
      ValueError: Naming the elements that have no pure phase of known energy to be their reference.
    """
    entries = to_pymatgen(phases, energies)
    pure = {str(entry.composition.elements[0]) for entry in entries if entry.composition.is_element}
    if absent := [symbol for symbol in phases.elements if symbol not in pure]:
        raise ValueError(f"no pure phase of {', '.join(absent)} to be its reference; add its energy")
    return PhaseDiagram(entries, elements=[Element(symbol) for symbol in phases.elements])


def _refuse_mixed(entries: Sequence[Entry]) -> None:
    """Energies of different functionals differ by eV: no hull of them means anything."""
    kinds: dict[str, str] = {}
    for entry in entries:
        kind = (getattr(entry, "parameters", None) or {}).get("run_type")
        if kind is not None:
            corrected = bool(getattr(entry, "energy_adjustments", None))
            family = _FAMILY.get(kind, kind) if corrected or "+U" not in kind else kind
            kinds.setdefault(str(family), str(entry.composition.reduced_formula))
    if len(kinds) > 1:
        found = ", ".join(f"{kind} ({formula}, ...)" for kind, formula in kinds.items())
        raise ValueError(f"entries of several functionals have no common reference: {found}; take one, or correct them first")
