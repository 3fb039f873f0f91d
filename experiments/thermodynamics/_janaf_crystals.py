"""JANAF tables of crystalline compounds, and the crystal of the Materials Project that each of them is about."""

from __future__ import annotations

import functools
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import spglib
from ase.data import chemical_symbols
from pymatgen.core import Composition
from pymatgen.core.entries import G_ELEMS

from matjax.types import Crystal
from matjax.units import ENERGY

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CRYSTALS = SHARED / "materials_project" / "mp_union_compact.json.gz"
TEMPERATURES = (300.0, 600.0, 900.0, 1200.0)
ROOM = 298.15

PHASES = {
    # where JANAF has several phases, the one that is stable at room temperature, or else whose crystal is at hand; its space groups
    "Al2O3": ("Alpha", (167,)), "BeCl2": ("Alpha", ()), "BeO": ("Alpha", (186,)), "BeSO4": ("Alpha", ()), "SiC": ("Beta", (216,)),
    "WCl6": ("Alpha", ()), "PbF2": ("Alpha", (62,)), "FeS2": ("Pyrite", (205,)), "Li2SO4": ("Alpha", ()), "PbO": ("Yellow", ()),
    "SiO2": ("Quartz", (152, 154)), "TiO2": ("Anatase", (141,)),
}  # fmt: skip


class Compound(NamedTuple):
    """One compound.

    formula: reduced; index: of its JANAF table; material: id in the Materials Project; crystal: primitive; enthalpy: of formation at
    298.15 K, and gibbs: Gibbs energies of formation by temperature, JANAF's, eV/atom.
    """

    formula: str
    index: str
    material: str
    crystal: Crystal
    enthalpy: float
    gibbs: dict[float, float]


@functools.cache
def compounds() -> list[Compound]:
    """One per formula that both sources have and whose elements' Gibbs energies are tabulated; small cells first."""
    import janaf

    crystals = _crystals()
    tables: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for _, index, formula, name, phase in janaf.db.iter_rows():
        if phase == "cr" and formula[0].isupper():
            reduced = Composition(formula).reduced_formula
            if reduced in crystals and all(str(element) in G_ELEMS["300"] for element in Composition(reduced)):
                tables[reduced].append((index, name))
    found = []
    for formula, named in tables.items():
        wanted, groups = PHASES.get(formula, ("", ()))
        index = next(i for i, name in named if wanted in name)
        of_group = [c for c in crystals[formula] if c["spacegroup"] in groups]
        best = min(of_group or crystals[formula], key=lambda c: c["e_form"])
        found.append(Compound(formula, index, best["material_id"], _primitive(best), *_formation(index)))
    return sorted((c for c in found if np.isfinite(c.enthalpy)), key=lambda c: (len(c.crystal), c.formula))


def _crystals() -> dict[str, list[dict[str, Any]]]:
    """Crystals by reduced formula."""
    found = defaultdict(list)
    for row in json.loads(gzip.decompress(CRYSTALS.read_bytes())):
        count = Counter(chemical_symbols[z] for z in row["Z"])
        if len(count) > 1:
            found[Composition(count).reduced_formula].append(row)
    return found


def _primitive(row: dict[str, Any]) -> Crystal:
    lattice, fractions, numbers = np.array(row["lattice"]), np.array(row["frac"]), row["Z"]
    reduced = spglib.find_primitive((lattice, fractions, numbers), symprec=1e-2)
    lattice, fractions, numbers = reduced or (lattice, fractions, numbers)
    return Crystal(lattice, fractions @ lattice, numbers)


@functools.cache
def rows(index: str) -> dict[float, dict[str, float]]:
    """A JANAF table as {T: {column: value}}, kJ/mol and J/mol/K of formula units, T of ROOM included."""
    import janaf

    table = janaf.Table(index).df
    return {row["T(K)"]: row for row in table.iter_rows(named=True)}


def _formation(index: str) -> tuple[float, dict[float, float]]:
    """Enthalpy of formation at ROOM and Gibbs energies of formation, eV/atom."""
    import janaf

    table, per_atom = rows(index), ENERGY["kJ/mol"] / Composition(janaf.Table(index).formula.split("(")[0]).num_atoms
    number = lambda value: np.nan if value is None else float(value) * per_atom
    return number(table.get(ROOM, {}).get("delta-f H")), {t: number(table[t]["delta-f G"]) for t in TEMPERATURES if t in table}


@functools.cache
def element_gibbs(symbol: str) -> tuple[float, ...]:
    """G(T) - H(298.15 K) of an element in its reference state at TEMPERATURES, eV/atom, JANAF's."""
    import janaf

    found = [(i, f) for _, i, f, _, phase in janaf.db.iter_rows() if phase == "ref" and f.rstrip("2") == symbol]
    index, formula = found[0]
    factor = 1e-3 * ENERGY["kJ/mol"] / Composition(formula).num_atoms
    table = rows(index)
    return tuple(-t * float(table[t]["-[G-H(Tr)]/T"]) * factor for t in TEMPERATURES)


def elements_gibbs(formula: str) -> np.ndarray:
    """Of the elements of a formula, per atom of it."""
    return _averaged(formula, lambda symbol: np.array(element_gibbs(symbol)))


def elements_gibbs_published(formula: str) -> np.ndarray:
    """The same from the tables that the descriptor was published with."""
    return _averaged(formula, lambda symbol: np.array([G_ELEMS[str(int(t))][symbol] for t in TEMPERATURES]))


def _averaged(formula: str, of_element: Callable[[str], np.ndarray]) -> np.ndarray:
    fractions = Composition(formula).fractional_composition
    return np.sum([fraction * of_element(str(element)) for element, fraction in fractions.items()], axis=0)
