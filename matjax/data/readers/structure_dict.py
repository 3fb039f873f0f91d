"""A structure written as a dictionary: pymatgen's, JARVIS', or compact lists of lattice, numbers and coordinates."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from matjax.data.convert import from_pymatgen
from matjax.types import Crystal

LATTICE = ("lattice", "lattice_mat", "cell")
SPECIES = ("Z", "numbers", "atomic_numbers", "species", "elements", "symbols")
FRACTIONAL = ("frac", "frac_coords", "fractional")
CARTESIAN = ("positions", "cart_coords", "xyz")
COMPACT = (*LATTICE, *SPECIES, *FRACTIONAL, *CARTESIAN, "pbc", "coords", "cartesian")


def crystal_of_dict(data: Mapping[str, Any]) -> Crystal:
    """The crystal of a structure dictionary.

    Three dialects: pymatgen's `Structure.as_dict()` (`lattice`, `sites`), JARVIS' (`lattice_mat`, `elements`, `coords`,
    `cartesian`), and compact records (`lattice` rows in Å; `Z`, `numbers`, `species` or `symbols`; `frac` or `positions`).
    Read without building pymatgen objects, which is what makes ten thousand of them a matter of seconds.

    Raises:
      ValueError: If a site is disordered, an element is unknown, or a part is missing.
    """
    if "sites" in data:
        return _from_sites(data)
    lattice = _lattice(_first(data, LATTICE))
    numbers = [number_of(s) for s in _first(data, SPECIES)]
    if "coords" in data:
        coords, cartesian = data["coords"], bool(data.get("cartesian", False))
    else:
        cartesian = any(k in data for k in CARTESIAN)
        coords = _first(data, CARTESIAN if cartesian else FRACTIONAL)
    coords = np.asarray(coords, float).reshape(-1, 3)
    return Crystal(lattice, coords if cartesian else coords @ lattice, np.array(numbers), data.get("pbc", np.ones(3, bool)))


def crystal_of_text(text: str) -> Crystal:
    """The crystal of a table's cell: a structure as JSON, as Python's repr, as CIF or as POSCAR."""
    text = text.strip()
    if text.startswith("{"):
        return crystal_of_dict(_parsed(text))
    return crystals_of_cif(text)[0] if "data_" in text else _from_poscar(text)


def crystals_of_cif(text: str) -> list[Crystal]:
    """The crystals of the blocks of a CIF, conventional cells as they are written.

    Raises:
      ValueError: If a block holds no structure, or a disordered one.
    """
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns of every rounded coordinate; what it cannot read it raises
        return [from_pymatgen(s) for s in CifParser.from_str(text).parse_structures(primitive=False, on_error="raise")]


def _from_poscar(text: str) -> Crystal:
    from pymatgen.io.vasp import Poscar

    return from_pymatgen(Poscar.from_str(text).structure)


def number_of(species: Any) -> int:
    """Atomic number of a symbol (oxidation state allowed, D and T are hydrogen) or of a whole number.

    Raises:
      ValueError: If there is no such element.
    """
    if not isinstance(species, str):
        if int(species) != species:
            raise ValueError(f"atomic number {species} is not a whole number")
        return int(species)
    match = re.fullmatch(r"([A-Z][a-z]?)\d*\.?\d*[+-]?", species)
    symbol = {"D": "H", "T": "H"}.get(match[1], match[1]) if match else ""
    if atomic_numbers.get(symbol, 0) < 1:
        raise ValueError(f"unknown or dummy element {species!r}")
    return atomic_numbers[symbol]


def _parsed(text: str) -> Mapping[str, Any]:
    """A dictionary from JSON or from Python's repr (first tried as JSON with the other quotes: 20 times faster)."""
    for candidate in (text, text.replace("'", '"')):
        try:
            return json.loads(candidate)
        except json.JSONDecodeError:
            continue
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"the structure is neither JSON nor a Python dictionary: {text[:40]!r}...") from error


def _from_sites(data: Mapping[str, Any]) -> Crystal:
    sites = data["sites"]
    lattice = _lattice(data["lattice"])
    frac = np.array([s["abc"] for s in sites], float).reshape(-1, 3)
    pbc = data["lattice"].get("pbc", np.ones(3, bool)) if isinstance(data["lattice"], Mapping) else np.ones(3, bool)
    return Crystal(lattice, frac @ lattice, np.array([_site_number(k, s) for k, s in enumerate(sites)], int), pbc)


def _site_number(k: int, site: Mapping[str, Any]) -> int:
    species = site["species"]
    if len(species) != 1 or abs(species[0].get("occu", 1) - 1) > 1e-6:
        parts = ", ".join(f"{s['element']} {s.get('occu', 1):g}" for s in species)
        raise ValueError(f"site {k} is disordered ({parts}); order it first, for example by enumeration")
    return number_of(species[0]["element"])


def _lattice(value: Any) -> np.ndarray:
    return np.array(value["matrix"] if isinstance(value, Mapping) else value, float).reshape(3, 3)


def _first(data: Mapping[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        if name in data:
            return data[name]
    raise ValueError(f"the structure has none of {', '.join(names)}; it has {', '.join(map(str, data))}")
