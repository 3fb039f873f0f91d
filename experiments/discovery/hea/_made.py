"""Alloys that were made, and whether they were one phase: cast ones, and those that were annealed or wrought."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import defaultdict
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "../shared/data/hea_experimental"
PEI = FOLDER / "pei2020_pei2020_alloys_phases.csv"
BORG = FOLDER / "borg2020_MPEA_dataset.csv.gz"
SINGLE = ("FCC", "BCC")
TREATED = ("ANNEAL", "WROUGHT")

Made = list[tuple[dict[str, float], bool]]
"""Atomic fractions, and whether it is one phase."""


def pei(elements: tuple[str, ...]) -> Made:
    """Of Pei, Yin, Hawk, Alman and Gao (2020), npj Comput. Mater. 6, 50: as cast for the most part."""
    with PEI.open(encoding="utf-8") as lines:
        rows = [(_fractions(row["Alloy"]), row["Phase"] != "multi-phase") for row in csv.DictReader(lines)]
    return [(x, single) for x, single in rows if _fits(x, elements)]


def borg(elements: tuple[str, ...]) -> Made:
    """Of Borg et al. (2020), Sci. Data 7, 430: annealed or wrought, by the majority of the records of a composition; ties are left out."""
    text = gzip.decompress(BORG.read_bytes()).decode("utf-8", "replace")
    votes: dict[str, list[bool]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(text)):
        if row["PROPERTY: Processing method"] in TREATED and (phase := row["PROPERTY: Microstructure"]):
            votes[row["FORMULA"]].append(phase in SINGLE)
    decided = {name: sum(v) * 2 > len(v) for name, v in votes.items() if sum(v) * 2 != len(v)}
    return [(x, single) for name, single in decided.items() if _fits(x := _fractions(name), elements)]


def _fractions(formula: str) -> dict[str, float]:
    amounts = {s: float(a or 1) for s, a in re.findall("([A-Z][a-z]?)([0-9.]*)", formula)}
    return {s: a / sum(amounts.values()) for s, a in amounts.items()}


def _fits(x: dict[str, float], elements: tuple[str, ...]) -> bool:
    return set(x) <= set(elements) and 3 <= len(x) <= 5
