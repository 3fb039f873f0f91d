"""Variants: which exchanges are found, one form for all of a state's variants, and the nearest of them."""

import numpy as np
import pytest

from matjax.thermo.calphad import newton
from matjax.thermo.calphad.database import Parameter, Phase, constant, database, solution
from matjax.thermo.calphad.jets import jets
from matjax.thermo.calphad.variants import Variants
from matjax.thermo.host import float64

RANGE = (300.0, 2000.0)


def ordering(other: float) -> Phase:
    """Two like sublattices; their end members AB and BA have one energy if other = -0.2."""
    energies = {("Al", "Al"): 0.0, ("Ni", "Ni"): 0.0, ("Al", "Ni"): -0.2, ("Ni", "Al"): other}
    return Phase("B2", (0.5, 0.5), (("Al", "Ni"),) * 2, tuple(Parameter(((a,), (b,)), constant(e)) for (a, b), e in energies.items()))


def variants(*phases: Phase) -> Variants:
    with float64():
        system = database(list(phases), temperature_range=RANGE).system
        return Variants(newton.model(system, jets(system)))


def test_sublattices_are_exchanged_only_where_the_energy_allows_it():
    like, unlike = variants(ordering(-0.2)), variants(ordering(-0.1))
    assert like.exchanges[0].tolist() == [[0, 1, 2, 3], [2, 3, 0, 1]]
    assert unlike.exchanges[0].tolist() == [[0, 1, 2, 3]]


def test_all_variants_of_a_state_come_in_one_form_and_the_nearest_is_near():
    found = variants(solution("fcc", {"Al": 0.0, "Ni": 0.0}, {}), ordering(-0.2))
    rng = np.random.default_rng(0)
    share = rng.random((50, 2))
    y = np.stack([share[:, 0], 1 - share[:, 0], share[:, 1], 1 - share[:, 1]], 1)
    other, phase = y[:, [2, 3, 0, 1]], np.ones(50, int)
    np.testing.assert_array_equal(found.ordered(phase, y), found.ordered(phase, other))
    np.testing.assert_array_equal(found.ordered(0 * phase, y), y)
    near = found.nearest(phase, other, y + 1e-3)
    np.testing.assert_array_equal(near, y)
    assert (
        np.abs(found.nearest(phase, other, share.repeat(2, 1)) - share.repeat(2, 1)).max(1) <= np.abs(other - share.repeat(2, 1)).max(1)
    ).all()
    with pytest.raises(IndexError):
        found.ordered(2 * phase, y)
