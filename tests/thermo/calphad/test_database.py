"""Databases from numbers: names, order, and what is refused at the door."""

import numpy as np
import pytest

from matjax.thermo.calphad.database import database, solution
from matjax.thermo.calphad.function import constant, polynomial
from matjax.thermo.calphad.phase import Parameter, Phase

FCC = solution("fcc", {"Al": 0.0, "Zn": 0.0}, {("Al", "Zn"): [0.1]})


def test_elements_are_sorted_unless_an_order_is_given():
    assert database([FCC]).elements == ("Al", "Zn")
    data = database([FCC], elements=["Zn", "Cu", "Al"])
    assert data.elements == ("Zn", "Cu", "Al")
    assert data.system.content[0].tolist() == [[0, 0, 1], [1, 0, 0]]


def test_missing_end_members_are_reported():
    data = database([FCC, Phase("B2", (0.5, 0.5), (("Al", "Zn"), ("Al", "Va")), (Parameter((("Zn",), ("Al",)), constant(1.0)),))])
    assert data.missing == {"B2": ("B2:Al:Al", "B2:Al:Va", "B2:Zn:Va")}


@pytest.mark.parametrize(
    "phases, settings, message",
    [
        ([], {}, "at least one phase"),
        ([FCC, FCC], {}, "names of their own"),
        ([FCC], {"elements": ["Al"]}, "hold Al, Zn, not only the elements Al"),
        ([solution("p", {"AL2": 0.0})], {}, "constituents AL2 are no elements"),
        ([solution("p", {"Al": 0.0}, {("Al", "Zn"): [0.1]})], {}, r"cannot have the parameter G\(Al,Zn;0\)"),
        ([Phase("p", (1.0,), (("Al",),), (Parameter((("Al",),), constant(1.0), 0, "V0"),))], {}, r"cannot have the parameter V0\(Al;0\)"),
        ([Phase("p", (1.0, 1.0), (("Al",),), ())], {}, "2 sites for 1 sublattices"),
        ([solution("p", {"Al": polynomial(low=300, high=400), "Zn": polynomial(low=500, high=900)})], {}, "no temperature lies"),
    ],
)
def test_what_does_not_fit_is_refused(phases, settings, message):
    with pytest.raises(ValueError, match=message):
        database(phases, **settings)


@pytest.mark.parametrize(
    "fractions", [[{"Al": 0.5}], [{"Al": 1.5, "Zn": -0.5}], [{"Cu": 1.0}], [{"Al": 1.0}, {"Al": 1.0}], [{"Al": np.nan}]]
)
def test_site_fractions_are_checked(fractions):
    with pytest.raises(ValueError, match="fcc"):
        database([FCC]).site_fractions("fcc", fractions)


def test_an_unknown_phase_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="no phase 'bcc'; the database has fcc"):
        database([FCC]).index("bcc")
