"""Cells of ordered structures with mixtures: the counts of every orbit, and pairs like those of a random occupation."""

import numpy as np
import pytest
from ase.data import atomic_numbers

from matjax.graph import neighbours
from matjax.simulate.cells import cells
from matjax.simulate.mixed_orbits import N_ATOM, supercell
from matjax.types import Candidate

VOLUMES = {"Al": 16.5, "Co": 11.0, "Ni": 10.9, "Fe": 11.8, "Ti": 17.6}
HALF = Candidate("B2", ((("Al", 4),), (("Co", 1), ("Ni", 3))))
HEUSLER = Candidate("L2_1", ((("Co", 4), ("Ni", 4)), (("Al", 4),), (("Fe", 1), ("Ti", 3))))


@pytest.mark.parametrize("candidate", [HALF, HEUSLER], ids=["B2", "L2_1"])
def test_every_orbit_has_its_counts(candidate):
    found = cells(candidate, 3, VOLUMES)
    assert len(found) == 3 and all(len(c) >= N_ATOM for c in found)
    orbit = supercell(candidate.prototype, 4).orbit
    for crystal in found:
        for k, content in enumerate(candidate.occupancy):
            total, n_site = sum(n for _, n in content), (orbit == k).sum()
            for symbol, n in content:
                assert (crystal.numbers[orbit == k] == atomic_numbers[symbol]).sum() * total == n * n_site
    assert len({crystal.numbers.tobytes() for crystal in found}) == 3


def test_pairs_on_a_mixed_orbit_are_nearer_to_random_than_a_draw_is():
    """Cobalt about cobalt in the first two shells of the mixed orbit, a simple cubic lattice: 6 and 12 neighbours."""
    orbit, rng = supercell("B2", 4).orbit, np.random.default_rng(0)
    crystal = cells(HALF, 1, VOLUMES)[0]
    edge = (2 * crystal.volume / len(crystal)) ** (1 / 3)
    senders, receivers, vectors, *_ = neighbours(crystal, 1.5 * edge)
    length, on_orbit = np.linalg.norm(vectors, axis=1) / edge, (orbit[senders] == 1) & (orbit[receivers] == 1)
    shells = [on_orbit & (abs(length - r) < 0.05) for r in (1.0, np.sqrt(2))]
    assert [s.sum() for s in shells] == [6 * 16, 12 * 16]

    def gap(numbers):
        cobalt = numbers == atomic_numbers["Co"]
        return sum(abs((cobalt[senders] & cobalt[receivers] & s).sum() / s.sum() - 1 / 16) for s in shells)

    drawn = []
    for _ in range(200):
        numbers = crystal.numbers.copy()
        numbers[orbit == 1] = rng.permutation(numbers[orbit == 1])
        drawn.append(gap(numbers))
    assert gap(crystal.numbers) < np.median(drawn) - 1e-9 and gap(crystal.numbers) <= np.quantile(drawn, 0.2) + 1e-9


def test_the_same_candidate_has_the_same_cells():
    one, two = (cells(HEUSLER, 2, VOLUMES) for _ in range(2))
    assert [c.numbers.tolist() for c in one] == [c.numbers.tolist() for c in two]


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="the counts sum to"):
        cells(Candidate("L1_2", ((("Al", 1), ("Ni", 1)), (("Co", 4),))), 1, VOLUMES)
    with pytest.raises(ValueError, match="no supercell of B2"):
        cells(Candidate("B2", ((("Al", 1), ("Ni", 996)), (("Co", 997),))), 1, VOLUMES)
