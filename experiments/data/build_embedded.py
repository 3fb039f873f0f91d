"""Builds what matjax ships as data: the table of elements and the compact file of 3,938 Materials Project crystals.

The sources are pymatgen's periodic table and `flla_2015.csv.gz` (matminer 0.4.0, `matminer/datasets/`). With `--smoke`
nothing is written: a few rows of both are built again and compared with the files in the package.
"""

from __future__ import annotations

import argparse
import ast
import csv
import gzip
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from matjax.data import elements, embedded
from matjax.data.domains import space_group
from matjax.types import Crystal

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT.parent / "shared" / "data" / "materials_project" / "flla_2015.csv.gz"
HOME = ROOT / "matjax" / "data"
DECIMALS = 1e8  # the source gives coordinates with eight decimals: integers keep them exactly
MEASURED = {
    "electronegativity": "X",
    "atomic_radius": "atomic_radius",
    "mass": "atomic_mass",
    "mendeleev_number": "mendeleev_no",
    "ionization_energy": "ionization_energy",
    "electron_affinity": "electron_affinity",
}
VALENCE = ("valence_s", "valence_p", "valence_d", "valence_f")
NUMERIC = (*MEASURED, *VALENCE)
LARGEST_IONIZATION = 25.0  # eV: helium has 24.6; what the table says of Mt (50) and Ds (65) counts as missing
HEADER = """\
# Elements 1 to 118 from the periodic table of pymatgen-core {version}: Pauling electronegativity, empirical atomic radius (Slater, Å),
# mass (u), Mendeleev number (Pettifor), first ionization energy and electron affinity (eV), period, group (f elements: 3), block,
# and the electrons in the outer s, p, d (n - 1) and f (n - 2) shells of the free atom.
# `filled` names what the source lacks (or has above 25 eV as an ionization energy); it is taken from the
# element of the same group that is nearest in atomic number.
"""


def _measured(element: Any, attribute: str) -> float:
    """A property as a float, NaN where the table has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen warns of each missing electronegativity
        try:
            value = getattr(element, attribute)
        except KeyError:
            value = None
    unphysical = attribute == "ionization_energy" and value is not None and value > LARGEST_IONIZATION
    return float("nan") if value is None or unphysical else float(value)


def _valence(element: Any) -> dict[str, float]:
    """Electrons in the outer shells of the free atom (s and p of the period, d one below, f two below); NaN if unknown."""
    try:
        shells = element.full_electronic_structure
    except KeyError:
        return dict.fromkeys(VALENCE, float("nan"))
    lowest = {"s": element.row, "p": element.row, "d": element.row - 1, "f": element.row - 2}
    outer = {orbital: electrons for shell, orbital, electrons in shells if shell >= lowest[orbital]}
    return {name: float(outer.get(name[-1], 0)) for name in VALENCE}


def element_rows() -> list[dict[str, Any]]:
    """The 118 rows of elements.csv, missing values filled from the nearest element of the same group."""
    from pymatgen.core import Element

    rows = []
    for number in range(1, 119):
        element = Element.from_Z(number)
        row = {"number": number, "symbol": element.symbol} | {name: _measured(element, a) for name, a in MEASURED.items()}
        block = "s" if element.symbol == "He" else element.block
        row |= {"period": int(element.row), "group": int(element.group), "block": block}
        rows.append(row | _valence(element))
    for row in rows:
        row["filled"] = " ".join(name for name in NUMERIC if np.isnan(row[name]))
    known = {name: [r for r in rows if name not in r["filled"].split()] for name in NUMERIC}
    for row in rows:
        for name in row["filled"].split():
            donors = [r for r in known[name] if r["group"] == row["group"]]
            row[name] = min(donors, key=lambda r: abs(r["number"] - row["number"]))[name]
    return rows


def crystal_rows(source: Path, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """The rows of the source as numbers: id, lattice, frac, numbers, two labels and the space group."""
    csv.field_size_limit(sys.maxsize)
    with gzip.open(source, "rt") as stream:
        stream.readline()  # the reference, as a comment
        for _, record in zip(range(limit or sys.maxsize), csv.DictReader(stream), strict=False):
            structure = ast.literal_eval(record["structure"])
            lattice = np.array(structure["lattice"]["matrix"])
            frac = np.array([site["abc"] for site in structure["sites"]])
            species = [site["species"] for site in structure["sites"]]
            if any(len(s) != 1 or s[0]["occu"] != 1 for s in species):
                raise ValueError(f"{record['material_id']} has partly occupied sites; the compact file holds ordered crystals only")
            numbers = np.array([elements.number(s[0]["element"]) for s in species])
            yield {
                "id": record["material_id"],
                "lattice": lattice,
                "frac": frac,
                "numbers": numbers,
                "formation_energy_per_atom": float(record["formation_energy_per_atom"]),
                "energy_above_hull": float(record["e_above_hull"]),
                "space_group": space_group(Crystal(lattice, frac @ lattice, numbers)),
            }


def compact(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The arrays of the compact file: coordinates as integers of 1e-8, atoms of all crystals end to end."""
    integers = lambda values, dtype: np.round(np.asarray(values) * DECIMALS).astype(dtype)
    return {
        "id": np.array([int(r["id"].removeprefix("mp-")) for r in rows], np.int32),
        "n_atom": np.array([len(r["numbers"]) for r in rows], np.uint8),
        "numbers": np.concatenate([r["numbers"] for r in rows]).astype(np.uint8),
        "frac": integers(np.concatenate([r["frac"] for r in rows]), np.int32),
        "lattice": integers([r["lattice"] for r in rows], np.int64),
        "space_group": np.array([r["space_group"] for r in rows], np.uint8),
    } | {name: np.array([r[name] for r in rows]) for name in ("formation_energy_per_atom", "energy_above_hull")}


def write(source: Path, out: Path) -> None:
    """Writes elements.csv and flla.npz into `out`."""
    rows = element_rows()
    with (out / "elements.csv").open("w", newline="", encoding="utf-8") as stream:
        stream.write(HEADER.format(version=version("pymatgen-core")))
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in row.items()} for row in rows)
    np.savez_compressed(out / "flla.npz", **compact(list(crystal_rows(source))))  # pyright: ignore[reportArgumentType]


def smoke(source: Path, n: int = 20) -> None:
    """Builds a few rows again and compares them with what the package holds."""
    table = elements.table()
    for row in element_rows():
        if any(not np.isclose(table[name][row["number"]], row[name]) for name in NUMERIC):
            raise AssertionError(f"elements.csv differs from pymatgen at {row['symbol']}")
    print("elements.csv: 118 rows as in pymatgen")
    if not source.exists():
        print(f"{source} is absent: the crystals were not compared")
        return
    shipped = embedded.load("flla")
    for i, row in enumerate(crystal_rows(source, n)):
        crystal = shipped.crystals[i]
        same = shipped.ids[i] == row["id"] and np.array_equal(crystal.numbers, row["numbers"])
        same = same and np.allclose(crystal.lattice, row["lattice"], atol=1e-9)
        same = same and np.allclose(crystal.positions, row["frac"] @ row["lattice"], atol=1e-6)
        same = same and int(shipped.domains["space_group"][i]) == row["space_group"]
        same = same and all(shipped.labels[k][i] == row[k] for k in shipped.labels)
        if not same:
            raise AssertionError(f"flla.npz differs from its source at {row['id']}")
    print(f"flla.npz: {n} crystals as in {source.name}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=SOURCE, help="flla_2015.csv.gz")
    parser.add_argument("--out", type=Path, default=HOME, help="folder that receives elements.csv and flla.npz")
    parser.add_argument("--smoke", action="store_true", help="compare a few rows with the package and write nothing")
    arguments = parser.parse_args()
    smoke(arguments.source) if arguments.smoke else write(arguments.source, arguments.out)


if __name__ == "__main__":
    main()
