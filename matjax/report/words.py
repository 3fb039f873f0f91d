"""How numbers and methods are printed: one rule each for the page, the table and the figures."""

from __future__ import annotations

import re
from collections.abc import Sequence

NAMES = {
    "erm": "ERM",
    "groupdro": "GroupDRO",
    "vrex": "V-REx",
    "cvar": "CVaR",
    "irm": "IRM",
    "coral": "CORAL",
    "dann": "DANN",
    "mmd": "MMD",
    "lowdensity": "low density",
    "importanceweights": "importance weights",
}


def method_name(method: str) -> str:
    """How a method is called in print: `group_dro` is GroupDRO; a name that is not known stays as it is."""
    return NAMES.get("".join(c for c in method.lower() if c.isalnum()), method)


def family_name(shift: str) -> str:
    """A shift as the name of a family: `leave_out(crystal_system)` is crystal system, `property_tail(gap)` is tail of gap."""
    kind, _, column = shift.partition("(")
    column = column.removesuffix(")").replace("_", " ")
    if column:
        return f"tail of {column}" if kind == "property_tail" else column
    return re.sub("^leave_(.+)_out$", r"\1", kind).replace("_", " ")


def spelled(name: str) -> str:
    """A class name in words: `CompositionTrees` is composition trees."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


def number(value: float) -> str:
    """Four places below 0.01, three below 1, two below 10, one below 100, else none."""
    size = abs(value)
    return f"{value:.{4 if 0 < size < 0.01 else 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0}f}"


def percent(value: float) -> str:
    """A share as a whole percentage."""
    return f"{100 * value:.0f}%"


def listing(items: Sequence[str], most: int = 5) -> str:
    """`a`, `a and b`, `a, b and c`; beyond `most` items the rest are counted: `a, b and 7 more`."""
    named = list(items) if len(items) <= most else [*items[: most - 1], f"{len(items) - most + 1} more"]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
