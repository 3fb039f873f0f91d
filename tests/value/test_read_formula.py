"""A formula is read back as the material that wrote it, or refused with the reason."""

import pytest

from matjax.campaign.export import exported_name
from matjax.value import Alloys, Compounds, read_formula

ALLOYS = Alloys("Al Co Fe Ni", lattices="fcc bcc", n_site=12, min_elements=2, max_elements=4, max_count=8, forbidden="Co")
COMPOUNDS = Compounds("Al Fe Ni", n_grid=3)
SPACES = [ALLOYS, COMPOUNDS, Compounds("Al Fe Ni Ti", prototypes="L2_1 C15 B2", max_elements=4)]


@pytest.mark.parametrize("space", SPACES, ids=["alloys", "mixed compounds", "compounds"])
def test_what_is_written_is_read_back(space):
    every = space.decode(*space.enumerate())
    assert len(every) > 20
    assert [read_formula(c.formula, space).key for c in every] == [c.key for c in every]
    assert [read_formula(exported_name(c), space).key for c in every] == [c.key for c in every]


def test_an_element_alone_needs_no_number_and_orbits_may_be_exchanged():
    (b2,) = {read_formula(text, COMPOUNDS).formula for text in ("B2 Al | Ni", "B2 Ni100 | Al100", " B2_Ni-Al ")}
    assert b2 == "B2 Al100 | Ni100" and read_formula("L2_1 Ni | Al | Fe", COMPOUNDS).prototype == "L2_1"


@pytest.mark.parametrize(
    ("text", "space", "said"),
    [
        ("hcp Al50 Ni50", ALLOYS, "its prototype is hcp"),
        ("sigma Al | Ni", COMPOUNDS, "sigma Al | Ni begins with none of the structures of the space: L1_0, L1_2, B2, D0_3, L2_1"),
        ("fcc Al50 Co50", ALLOYS, r"Co is not among its elements \(Al Fe Ni\)"),
        ("fcc Al50 Ni40", ALLOYS, "it is off the composition grid of 12 sites"),
        ("fcc Al60 Ni40", ALLOYS, "it is off the composition grid of 12 sites"),
        ("fcc Al Ni", ALLOYS, "fcc Al Ni is no formula; write fcc Al25 Ni75"),
        ("fcc Al50 Al50", ALLOYS, "is no formula"),
        ("fcc Al-50 Ni50", ALLOYS, "fcc Al-50 Ni50 names 2 of the orbits of fcc, which are 1"),
        ("fcc al50 Ni50", ALLOYS, "is no formula"),
        ("B2 Al", COMPOUNDS, "B2 Al names 1 of the orbits of B2, which are 2"),
        ("B2 Al | Al", COMPOUNDS, "allowed: 2 to 3"),
        ("", ALLOYS, "begins with none"),
    ],
)
def test_what_means_nothing_in_the_space_is_refused(text, space, said):
    with pytest.raises(ValueError, match=said):
        read_formula(text, space)
