import numpy as np
import pytest

from matjax.graph.neighbours import neighbours
from matjax.simulate.cells import cells, ordered, quasirandom, rounded, solution
from matjax.simulate.prototypes import COMPOUNDS, LATTICES, SUPERCELL, prototype, representative_cell

VOLUMES = {"Al": 16.6, "Ni": 10.9, "Cu": 11.8, "Co": 11.1, "Fe": 11.8}
FIVE = {"Al": 3, "Ni": 5, "Cu": 4, "Co": 4, "Fe": 4}


@pytest.mark.parametrize(("lattice", "n_atom"), [("fcc", 32), ("bcc", 54), ("hcp", 48)])
def test_a_solution_is_represented_by_its_cell(lattice, n_atom):
    found = cells(solution(lattice, FIVE), 4, VOLUMES)
    assert [len(c) for c in found] == [n_atom] * 4
    assert len({c.key for c in found}) == 4
    share = {z: np.mean(found[0].numbers == z) for z in (13, 26, 27, 28, 29)}
    assert share[13] == pytest.approx(3 / 20, abs=0.5 / n_atom) and sum(share.values()) == pytest.approx(1)
    assert found[0].volume / n_atom == pytest.approx(sum(VOLUMES[s] * n for s, n in FIVE.items()) / 20)


def test_everyone_gets_the_same_cells():
    first, again = (cells(solution("bcc", FIVE), 2, VOLUMES) for _ in range(2))
    assert [c.key for c in first] == [c.key for c in again]
    assert cells(solution("bcc", FIVE), 2, VOLUMES)[0].key != cells(solution("bcc", {**FIVE, "Al": 4, "Ni": 4}), 2, VOLUMES)[0].key


def test_chosen_decorations_are_nearer_to_random_than_the_average_one():
    lattice, numbers = "fcc", np.repeat([13, 28], 16)
    cell = representative_cell(lattice)

    def disorder(decoration):
        from matjax.types import Crystal

        senders, receivers, *_ = neighbours(Crystal(cell.vectors, cell.frac_coords @ cell.vectors, decoration), 1.2)
        return abs(np.mean(decoration[senders] != decoration[receivers]) - 0.5)

    rng = np.random.default_rng(0)
    average = np.mean([disorder(rng.permutation(numbers)) for _ in range(50)])
    assert max(disorder(d) for d in quasirandom(lattice, numbers, 4, rng)) < 0.5 * average


@pytest.mark.parametrize("fractions", [[0.05, 0.95], [0.2] * 5, [0.35, 0.35, 0.2, 0.05, 0.05], [1.0]])
def test_rounding_keeps_every_element_and_is_close(fractions):
    counts = rounded(np.array(fractions), 32)
    assert counts.sum() == 32 and counts.min() >= 1
    assert np.abs(counts - 32 * np.array(fractions)).max() < 1


@pytest.mark.parametrize("name", COMPOUNDS)
def test_ordered_structures_have_their_stoichiometry(name):
    candidate = ordered(name, "Ni", "Al")
    (crystal,) = cells(candidate, 4, VOLUMES)
    counts = prototype(name).multiplicities
    assert np.mean(crystal.numbers == 28) == pytest.approx(counts[0] / sum(counts)) == pytest.approx(candidate.composition["Ni"])


def test_neighbours_of_the_ordered_structures():
    """B2: 8 unlike; L1_2: the minority sees 12 unlike; D0_3: the minority sees 8 unlike and 6 unlike; L1_0: 8 unlike of 12."""
    for name, radius, who, unlike in (("B2", 1.1, 13, 8), ("L1_2", 1.1, 13, 12), ("D0_3", 1.2, 13, 14), ("L1_0", 1.1, 13, 8)):
        (crystal,) = cells(ordered(name, "Ni", "Al"), 1, {"Ni": 10.0, "Al": 10.0})
        scale = prototype(name).scale(10.0)
        senders, receivers, *_ = neighbours(crystal, radius * scale)
        z = crystal.numbers
        assert np.sum((z[receivers] == who) & (z[senders] != who)) / np.sum(z == who) == unlike, name


@pytest.mark.parametrize("lattice", LATTICES)
def test_a_pure_element_needs_one_cell(lattice):
    assert len(cells(solution(lattice, {"Ni": 20}), 4, VOLUMES)) == 1
    assert len(representative_cell(lattice)) == np.prod(SUPERCELL[lattice]) * len(prototype(lattice))


def test_what_cannot_be_built_is_said():
    with pytest.raises(ValueError, match="no volume for Zr"):
        cells(solution("fcc", {"Zr": 10, "Ni": 10}), 1, VOLUMES)
    with pytest.raises(ValueError, match="2 orbits"):
        ordered("B2", "Ni")
    with pytest.raises(ValueError, match="prototype 'A15' is not known; known: fcc"):
        prototype("A15")
