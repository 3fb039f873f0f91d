"""Elements: symbols, numbers and the physical features that make an unseen element representable.

The table is `elements.csv` (its header says where it comes from and how gaps are filled).
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

import numpy as np

SYMBOLS: tuple[str, ...] = tuple(
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd "
    "Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th "
    "Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og".split()
)
"""Symbol by atomic number; index 0 ("X") is no element."""

N_ELEMENT = len(SYMBOLS) - 1
_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS) if number}
_CONTINUOUS = ("electronegativity", "atomic_radius", "log_mass", "mendeleev_number", "ionization_energy", "electron_affinity")
_COUNTS = ("period", "group", "valence_s", "valence_p", "valence_d", "valence_f")
_STANDARD = slice(1, 104)  # elements over which features are standardised: beyond lawrencium the table is mostly filled in


def symbol(number: int) -> str:
    """Symbol of an atomic number.

    Raises:
      ValueError: If the number is outside 1 to 118.
    """
    if not 1 <= number <= N_ELEMENT:
        raise ValueError(f"{number} is no atomic number; allowed: 1 to {N_ELEMENT}")
    return SYMBOLS[number]


def number(symbol: str) -> int:
    """Atomic number of an element symbol, such as 26 for `Fe`.

    Raises:
      ValueError: If there is no such element; the message names the nearest ones.
    """
    if symbol not in _NUMBERS:
        nearest = difflib.get_close_matches(symbol.strip().capitalize(), _NUMBERS, n=3, cutoff=0.3)
        hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        raise ValueError(f"{symbol!r} is no element symbol{hint}")
    return _NUMBERS[symbol]


@cache
def table() -> Mapping[str, np.ndarray]:
    """The table of elements: {column: [119] array by atomic number}, row 0 NaN (numbers) or empty (text); read-only."""
    text = (resources.files("matjax.data") / "elements.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    columns: dict[str, np.ndarray] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        is_text = name in ("symbol", "block", "filled")
        columns[name] = np.array(["", *values]) if is_text else np.array([np.nan, *map(float, values)])
    columns["log_mass"] = np.log(columns["mass"])
    for column in columns.values():
        column.setflags(write=False)
    return MappingProxyType(columns)


def electronegativity() -> np.ndarray:
    """Pauling electronegativity by atomic number [119], NaN at 0; read-only."""
    return table()["electronegativity"]


@cache
def physical_features() -> np.ndarray:
    """What an element is, as numbers [119, n_feature]: float32, row 0 zero, read-only.

    Twelve standardised columns (electronegativity, radius, log mass, Mendeleev number, ionization energy, electron
    affinity, period, group, valence s, p, d, f), then one-hot period (7), group (18) and block (4). Neighbours in the
    periodic table are near each other, so a model has something to say of an element that it was never shown.
    """
    columns = table()
    numeric = np.stack([columns[name] for name in _CONTINUOUS + _COUNTS], 1)
    numeric = (numeric - numeric[_STANDARD].mean(0)) / numeric[_STANDARD].std(0)
    one_hot = [columns["period"][:, None] == np.arange(1, 8), columns["group"][:, None] == np.arange(1, 19)]
    one_hot.append(columns["block"][:, None] == np.array(list("spdf")))
    features = np.concatenate([numeric, *one_hot], 1).astype(np.float32)
    features[0] = 0.0
    features.setflags(write=False)
    return features
