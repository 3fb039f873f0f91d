"""What an answer says it did not look at."""

import numpy as np

from matjax.thermo import NEAR_MELTING, NOT_CONSIDERED, not_considered
from matjax.thermo.alloy.stability import Stability, describe


def test_without_anything_it_is_the_whole_list():
    assert not_considered(("Cu", "Ni")) == not_considered(("Cu", "Ni"), temperature=1000.0) == NOT_CONSIDERED


def test_what_is_in_the_landscape_is_not_listed():
    said = not_considered(("Cr", "Fe"), ["sigma Cr4Fe4Cr4Fe2Fe", "C14 Cr3Fe2Cr", "C15 Cr2Fe", "B2 CrFe"], temperature=5000.0, liquid=True)
    assert "liquid" not in " ".join(said) and "sigma" not in said
    assert "Laves (C36)" in said and {"mu", "chi", "omega"} <= set(said)
    assert not any("Laves" in name for name in not_considered(("Cr", "Fe"), ["C14", "C15", "C36"]))


def test_near_melting_the_missing_liquid_is_a_warning():
    lowest = 1357.77 * NEAR_MELTING
    assert not_considered(("Cu", "Ni"), temperature=lowest - 1)[0] == "liquid"
    assert "1358 K of Cu" in not_considered(("Ni", "Cu"), temperature=lowest + 1)[0]
    assert not_considered(("A", "B"), temperature=4000.0)[0] == "liquid"  # of which nothing is known


def test_a_competitor_that_may_be_molten_says_so():
    fields = (0.0, 0.0, np.array([0.5, 0.5]), np.array([0, 1]), np.eye(2), 0.0)
    found = lambda temperature, with_liquid: describe(Stability(*fields, temperature, with_liquid), ("Al", "W"))  # type: ignore[arg-type]
    cold, hot, known = found(700.0, False), found(800.0, False), found(800.0, True)
    assert not any("solidus" in row for row in [*cold, *known])
    assert {row["phase"]: round(row.get("solidus", 0)) for row in hot} == {"fcc": 933, "bcc": 0}
