"""The data of the table of risks, as arrays: features, label, what is held out, and the domains that a risk sees."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from matjax.data.descriptors import element_fractions, property_statistics
from matjax.data.domains import UNKNOWN, domain_labels, element_counts
from matjax.data.elements import N_ELEMENT, SYMBOLS, number, table
from matjax.graph.descriptors import structure_descriptors
from matjax.types import Crystal, Dataset

ROOM_TEMPERATURE = ("", "25.0")
SMALLEST_GROUP = 20


class Family(NamedTuple):
    """One way to hold domains out.

    shift: its name; held {domain: which rows [n] bool}, the largest first; domain [n]: label of the domain that a risk is told,
    one per row; pool [n] bool: rows that take part.
    """

    shift: str
    held: dict[str, np.ndarray]
    domain: np.ndarray
    pool: np.ndarray


class Source(NamedTuple):
    """A data set as arrays: features {name: [n, f]}, label [n] and its unit, chemical system [n], and the families of domains."""

    features: dict[str, np.ndarray]
    y: np.ndarray
    unit: str
    system: np.ndarray
    families: tuple[Family, ...]


def log_gvrh(shared: Path, first: int | None) -> Source:
    """Matbench log_gvrh: elements, periodic groups and crystal systems held out."""
    records = _json(shared / "matbench" / "log_gvrh.json.gz")
    records = records if first is None else records[:: max(1, len(records) // first)]
    data = _dataset([(r["lattice"], r["Z"], r["frac"]) for r in records], [str(r["id"]) for r in records])
    counts = element_counts(data) > 0
    systems, every = domain_labels(data, "crystal_system"), np.ones(len(data), bool)
    group = np.nan_to_num(table()["group"])
    groups = {f"group {g}": np.asarray(counts[:, group == g].any(1)) for g in range(1, 19)}
    rarest = _rarest(np.stack(list(groups.values()), 1), list(groups))
    families = (
        Family("leave_element_out", _largest({SYMBOLS[z]: counts[:, z] for z in range(1, N_ELEMENT + 1)}), rarest, every),
        Family("leave_out(periodic_group)", _largest(groups), rarest, every),
        Family("leave_out(crystal_system)", _by_label(systems), systems, systems != UNKNOWN),
    )
    y = np.array([r["log_gvrh"] for r in records])
    return Source(_descriptors(data), y, "log10(GPa)", domain_labels(data, "chemical_system"), families)


def mp_union(shared: Path, first: int | None) -> Source:
    """Formation energies of the Materials Project: classes of anions held out, and those without oxygen and fluorine among themselves."""
    records = [r for r in _json(shared / "materials_project" / "mp_union_compact.json.gz") if r.get("e_form") is not None]
    records = records if first is None else records[:: max(1, len(records) // first)]
    data = _dataset([(r["lattice"], r["Z"], r["frac"]) for r in records], [r["material_id"] for r in records])
    anion, counts = domain_labels(data, "anion"), element_counts(data) > 0
    free = ~(counts[:, number("O")] | counts[:, number("F")])
    families = (
        Family("leave_out(anion)", _by_label(anion), anion, np.ones(len(data), bool)),
        Family("leave_out(anion), no O or F", _by_label(np.where(free, anion, UNKNOWN)), anion, free),
    )
    y = np.array([r["e_form"] for r in records])
    return Source(_descriptors(data), y, "eV/atom", domain_labels(data, "chemical_system"), families)


def mpea(shared: Path, first: int | None) -> Source:
    """Vickers hardness of multi-principal-element alloys at room temperature: papers, processing and phases held out."""
    with gzip.open(shared / "hea_experimental" / "borg2020_MPEA_dataset.csv.gz", "rt", encoding="utf-8") as file:
        rows = [{k.removeprefix("PROPERTY: "): v for k, v in row.items()} for row in csv.DictReader(file)]
    rows = [r for r in rows if r["HV"] and r["Test temperature ($^\\circ$C)"] in ROOM_TEMPERATURE][:first]
    fractions = np.stack([_fractions(r["FORMULA"]) for r in rows])
    paper = _papers([(r["REFERENCE: year"], r["REFERENCE: doi"]) for r in rows])
    column = lambda name: np.array([r[name].strip().lower() or UNKNOWN for r in rows])
    families = tuple(
        Family(f"leave_out({shift})", _by_label(labels), labels, labels != UNKNOWN)
        for shift, labels in (("paper", paper), ("processing", column("Processing method")), ("phase", column("BCC/FCC/other")))
    )
    features = {"physical": property_statistics(fractions), "one-hot": fractions}
    system = np.array(["-".join(SYMBOLS[z + 1] for z in np.flatnonzero(row)) for row in fractions])
    return Source(features, np.array([float(r["HV"]) for r in rows]), "HV", system, families)


SOURCES: dict[str, Callable[[Path, int | None], Source]] = {"log_gvrh": log_gvrh, "mp_union": mp_union, "mpea_hardness": mpea}


def _json(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def _dataset(cells: list[tuple[Any, Any, Any]], ids: list[str]) -> Dataset:
    crystals = tuple(Crystal(np.array(lattice), np.array(frac) @ np.array(lattice), np.array(numbers)) for lattice, numbers, frac in cells)
    return Dataset(crystals, tuple(ids))


def _descriptors(data: Dataset) -> dict[str, np.ndarray]:
    fractions, structure = element_fractions(data.crystals), np.stack([structure_descriptors(c) for c in data.crystals])
    return {"physical": np.hstack([property_statistics(fractions), structure]), "one-hot": np.hstack([fractions, structure])}


def _fractions(formula: str) -> np.ndarray:
    """Element fractions [118] of a formula such as `Al0.25 Co1 Fe1`."""
    amounts = np.zeros(N_ELEMENT)
    for part in formula.split():
        symbol = part.rstrip("0123456789.")
        amounts[number(symbol) - 1] += float(part[len(symbol) :] or 1)
    return amounts / amounts.sum()


def _papers(keys: list[tuple[str, str]]) -> np.ndarray:
    """Papers in order of year, gathered until a group has at least `SMALLEST_GROUP` rows; a paper is in one group."""
    label, group, size = {}, 0, 0
    counts = Counter(keys)
    for paper in sorted(counts):
        label[paper], size = group, size + counts[paper]
        if size >= SMALLEST_GROUP:
            group, size = group + 1, 0
    last = max(label.values())
    merged = {paper: min(g, group - 1) for paper, g in label.items()} if size and last == group else label
    years = {g: sorted(year for (year, _), own in merged.items() if own == g) for g in set(merged.values())}
    return np.array([f"papers {merged[key]:02d} ({years[merged[key]][0]}-{years[merged[key]][-1]})" for key in keys])


def _by_label(labels: np.ndarray) -> dict[str, np.ndarray]:
    return _largest({str(name): labels == name for name in np.unique(labels) if name != UNKNOWN})


def _largest(held: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(sorted(held.items(), key=lambda item: (-item[1].sum(), item[0])))


def _rarest(member: np.ndarray, names: list[str]) -> np.ndarray:
    """For rows of several domains [n, k], the name of the rarest of them: a partition that the held-out domains are close to."""
    size = member.sum(0)
    return np.array(names)[np.where(member, size[None, :], len(member) + 1).argmin(1)]
