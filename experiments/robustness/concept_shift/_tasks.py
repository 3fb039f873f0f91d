"""The two concept shifts: the same materials at two levels of theory, or computed and measured."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pymatgen.core import Composition

from matjax.data.descriptors import composition_features
from matjax.graph.descriptors import structure_descriptors
from matjax.types import Crystal, Dataset

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
UNION = SHARED / "materials_project" / "mp_union_compact.json.gz"
ENTHALPIES = SHARED / "formation_enthalpy" / "formation_enthalpy_exp_scan_pbe.csv"


class Side(NamedTuple):
    """Materials at one fidelity: crystals [n], features [n, n_feature], label [n], chemical system [n], Materials Project id [n]."""

    crystals: tuple[Crystal, ...]
    features: np.ndarray
    value: np.ndarray
    system: np.ndarray
    material: np.ndarray

    def dataset(self, rows: np.ndarray, label: str = "value") -> Dataset:
        """Some of them, as the library knows them."""
        return Dataset(tuple(self.crystals[i] for i in rows), tuple(str(i) for i in rows), {label: self.value[rows]})


class Task(NamedTuple):
    """PBE labels of many materials, target labels of some, the PBE values of those, and whether crystals have structures."""

    source: Side
    target: Side
    pbe: np.ndarray
    unit: str
    structures: bool


def load(name: str, first: int | None = None) -> Task:
    """The task of this name, or of its first crystals."""
    return {"gap": _gap, "enthalpy": _enthalpy}[name](first)


@cache
def union() -> list[dict[str, Any]]:
    """Records of the Materials Project, joined from public tables."""
    with gzip.open(UNION, "rt") as file:
        return json.load(file)


def crystal_of(record: dict[str, Any]) -> Crystal:
    """The structure of a record."""
    lattice = np.array(record["lattice"])
    return Crystal(lattice, np.array(record["frac"]) @ lattice, np.array(record["Z"]))


def _gap(first: int | None) -> Task:
    records = [r for r in union() if r.get("gap_pbe") is not None][:first]
    crystals = [crystal_of(r) for r in records]
    features = np.concatenate([composition_features(crystals), np.stack([structure_descriptors(c) for c in crystals])], 1)
    both = [i for i, r in enumerate(records) if r.get("gap_hse") is not None]
    column = lambda rows, name: np.array([records[i][name] for i in rows], float)
    ids = [r["material_id"] for r in records]
    side = lambda rows, name: _side([crystals[i] for i in rows], features[rows], column(rows, name), [ids[i] for i in rows])
    return Task(side(range(len(records)), "gap_pbe"), side(both, "gap_hse"), column(both, "gap_pbe"), "eV", True)


def _enthalpy(first: int | None) -> Task:
    """Compositions: few of the measured compounds have a structure here. Of polymorphs the lowest PBE energy counts."""
    with ENTHALPIES.open() as file:
        rows = [r for r in csv.DictReader(file) if r["hf_exp"] and r["hf_pbe_mp2018"]][:first]
    target = [_formula_crystal(r["formula"]) for r in rows]
    pbe = np.array([float(r["hf_pbe_mp2018"]) for r in rows])
    lowest: dict[str, tuple[float, Crystal, str]] = {}
    records = [r for r in union() if r["e_form"] is not None][:first]
    found = [(r["formula"], r["e_form"], crystal_of(r), r["material_id"]) for r in records]
    found += [(r["formula"], energy, c, r["mpid"]) for r, energy, c in zip(rows, pbe, target, strict=True)]
    for formula, energy, crystal, material in found:
        name = Composition(formula).reduced_formula
        if name not in lowest or energy < lowest[name][0]:
            lowest[name] = (energy, crystal, material)
    energies, crystals, ids = zip(*lowest.values(), strict=True)
    source = _side(crystals, composition_features(crystals), np.array(energies), ids)
    measured = np.array([float(r["hf_exp"]) for r in rows])
    return Task(source, _side(target, composition_features(target), measured, [r["mpid"] for r in rows]), pbe, "eV/atom", False)


def _formula_crystal(formula: str) -> Crystal:
    """A composition as atoms without a structure."""
    counts = Composition(formula).get_integer_formula_and_factor()[0]
    numbers = [e.Z for e, n in Composition(counts).items() for _ in range(round(n))]
    return Crystal(np.eye(3) * 10.0, np.zeros((len(numbers), 3)), np.array(numbers))


def _side(crystals: Sequence[Crystal], features: np.ndarray, value: np.ndarray, ids: Sequence[str]) -> Side:
    system = np.array(["-".join(map(str, np.unique(c.numbers))) for c in crystals])
    return Side(tuple(crystals), features, value, system, np.array(ids))
