"""The material of a space that a formula means: the inverse of `Candidate.formula`."""

from __future__ import annotations

import re

import numpy as np

from matjax.types import Candidate
from matjax.value.space import Space

_SHARE = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")

ROUNDED = 0.01
"""How far a share may be from the grid, in its steps: formulas round percents to four digits."""


def read_formula(text: str, space: Space) -> Candidate:
    """The material that a formula means, in the spelling of the space.

    Args:
      text: The structure, then the shares of each orbit in percent, orbits apart by a bar: `fcc Al10 Co30 Ni60`,
        `L2_1 Ni | Al50 Ti50 | Fe`. An element alone needs no number. Or all that as one word, as exported:
        `fcc_Al10_Co30_Ni60`, `L2_1_Ni-Al50_Ti50-Fe`.
      space: What it is a material of. Where orbits may be exchanged, the answer is the decoration that the space has.

    Raises:
      ValueError: If the text is no formula, or of nothing in the space; the message says why.

    Example:
      >>> from matjax.value import Compounds
      >>> read_formula("B2 Ni | Al50 Fe50", Compounds("Al Fe Ni", prototypes="B2", n_grid=2)).formula
      'B2 Al50 Fe50 | Ni100'
    """
    word = text.strip().replace(" | ", "-").replace(" ", "_")
    name = max((s for s in space.structures if word.startswith(f"{s}_")), key=len, default=None)
    if name is None:
        raise ValueError(f"{text} begins with none of the structures of the space: {', '.join(space.structures)}")
    structure, tree = space.structures.index(name), space.tree
    orbits, n_orbit = word[len(name) + 1 :].split("-"), int((np.asarray(tree.share[structure]) > 0).sum())
    if len(orbits) != n_orbit:
        raise ValueError(f"{text} names {len(orbits)} of the orbits of {name}, which are {n_orbit}")
    counts = np.zeros((len(space.elements), tree.n_orbit), int)
    for i, orbit in enumerate(orbits):
        for symbol, n in _counts(orbit, tree.n_grid, text).items():
            if symbol not in space.available:
                raise ValueError(f"{symbol} is not among its elements ({' '.join(space.available)})")
            counts[space.elements.index(symbol), i] = n
    (candidate,) = space.decode(np.array([structure]), counts.reshape(1, -1))
    if why := space.why_outside(candidate):
        raise ValueError(why)
    return space.decode(*space.encode([candidate]))[0]


def _counts(orbit: str, n_grid: int, text: str) -> dict[str, int]:
    """{symbol: count on the grid} of one orbit, written `Al50_Ti50`."""
    parts = [_SHARE.fullmatch(share) for share in orbit.split("_")]
    found = [(part[1], float(part[2] or 100) * n_grid / 100) for part in parts if part]
    symbols = {symbol for symbol, _ in found}
    if None in parts or len(symbols) < len(parts) or len(parts) > 1 and any(part and not part[2] for part in parts):
        raise ValueError(
            f"{text} is no formula; write fcc Al25 Ni75, or of orbits L2_1 Ni | Al50 Ti50 | Fe, in percent of an orbit's atoms"
        )
    if abs(sum(n for _, n in found) - n_grid) > ROUNDED * len(found) or any(abs(n - round(n)) > ROUNDED for _, n in found):
        raise ValueError(f"it is off the composition grid of {n_grid} {'sites' if n_grid > 1 else 'site'}")
    return {symbol: round(n) for symbol, n in found}
