"""Domains against pymatgen and the counts of the literature."""

import re
from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from pymatgen.symmetry.groups import SpaceGroup

from matjax.data import contains, domain_labels, domain_values, element_counts, elements
from matjax.data.domains import crystal_system, point_group, space_group
from matjax.types import Crystal, Dataset


def structure(crystal: Crystal) -> Structure:
    symbols = [elements.symbol(int(z)) for z in crystal.numbers]
    return Structure(Lattice(crystal.lattice), symbols, crystal.positions, coords_are_cartesian=True)


def test_anion_classes_of_flla(flla: Dataset) -> None:
    counts = Counter(domain_labels(flla, "anion").tolist())
    expected = {"oxide": 1232, "intermetallic": 877, "sulfide": 260, "fluoride": 198, "nitride": 177}
    assert {name: counts[name] for name in expected} == expected
    assert counts.total() == len(flla)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_crystal_system_and_space_group_are_pymatgens(flla: Dataset) -> None:
    for row in range(0, len(flla), 200):
        analyzer = SpacegroupAnalyzer(structure(flla.crystals[row]), symprec=0.1)
        assert space_group(flla.crystals[row]) == analyzer.get_space_group_number()
        assert domain_labels(flla, "crystal_system")[row] == analyzer.get_crystal_system()


def test_crystal_system_and_point_group_of_every_space_group_are_pymatgens() -> None:
    numbers = np.arange(1, 231)
    theirs = [SpaceGroup.from_int_number(int(n)) for n in numbers]
    assert crystal_system(numbers).tolist() == [group.crystal_system for group in theirs]
    assert point_group(numbers).tolist() == [group.point_group for group in theirs]
    assert len(set(point_group(numbers))) == 32
    assert crystal_system(np.array([0])).tolist() == point_group(np.array([0])).tolist() == ["unknown"]


def test_composition_columns_are_pymatgens(flla: Dataset) -> None:
    some = flla.select(np.arange(0, len(flla), 37))
    columns = {name: domain_labels(some, name) for name in ("composition", "chemical_system", "n_elements", "prototype")}
    for row, crystal in enumerate(some.crystals):
        composition = structure(crystal).composition
        assert {e.symbol: int(n) for e, n in composition.reduced_composition.items()} == parse(columns["composition"][row])
        assert columns["chemical_system"][row] == composition.chemical_system
        assert columns["n_elements"][row] == str(len(composition))
        anonymous, group = columns["prototype"][row].split()
        assert parse(anonymous) == parse(composition.anonymized_formula)
        assert int(group) == some.domains["space_group"][row]


def parse(formula: str) -> dict[str, int]:
    """{symbol: count} of a formula; a second implementation, by regular expression."""
    return {symbol: int(n or 1) for symbol, n in re.findall(r"([A-Z][a-z]?)(\d*)", formula)}


def test_formula_starts_with_the_most_electropositive() -> None:
    hematite = Crystal(np.eye(3) * 9, np.arange(30).reshape(10, 3) * 0.8, np.array([8] * 6 + [26] * 4))
    assert domain_labels(Dataset((hematite,), ("a",)), "composition").tolist() == ["Fe2O3"]


def test_contains_agrees_with_counts(flla: Dataset) -> None:
    np.testing.assert_array_equal(contains(flla, "Li"), element_counts(flla)[:, 3] > 0)
    assert contains(flla, "Li").sum() == 195
    with pytest.raises(ValueError, match="Fe"):
        contains(flla, "fe")


def test_own_columns_answer_first_and_blanks_are_unknown(flla: Dataset) -> None:
    own = flla.select([0, 1, 2]).with_domains(
        laboratory=np.array(["A", "", "B"]), year=np.array([2015.0, np.nan, 2020.5]), anion=np.array(list("xyz"))
    )
    assert domain_labels(own, "laboratory").tolist() == ["A", "unknown", "B"]
    assert domain_labels(own, "year").tolist() == ["2015", "unknown", "2020.5"]
    assert domain_labels(own, "anion").tolist() == ["x", "y", "z"]
    assert domain_values(own, "year").dtype == float


def test_unknown_column_names_the_available_and_the_nearest(flla: Dataset) -> None:
    with pytest.raises(ValueError, match=r"available: anion, .*did you mean 'crystal_system'"):
        domain_labels(flla, "crystal_sytem")


def test_what_has_no_symmetry_is_unknown() -> None:
    cube = np.eye(3) * 4
    overlapping = Crystal(cube, np.zeros((2, 3)), np.array([3, 3]))
    layer = Crystal(cube, np.zeros((1, 3)), np.array([3]), np.array([True, True, False]))
    assert space_group(overlapping) == space_group(layer) == 0
    assert domain_labels(Dataset((overlapping, layer), ("a", "b")), "crystal_system").tolist() == ["unknown", "unknown"]


@pytest.mark.parametrize("change", ["left-handed", "rotated", "supercell", "shifted"])
def test_space_group_does_not_depend_on_the_description(flla: Dataset, change: str) -> None:
    crystal = flla.crystals[flla.ids.index("mp-10000")]
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    lattice, positions, numbers = crystal.lattice, crystal.positions, crystal.numbers
    other = {
        "left-handed": Crystal(lattice[[1, 0, 2]], positions, numbers),
        "rotated": Crystal(lattice @ rotation, positions @ rotation, numbers),
        "supercell": Crystal(lattice * [[2], [1], [1]], np.concatenate([positions, positions + lattice[0]]), np.tile(numbers, 2)),
        "shifted": Crystal(lattice, positions + [0.3, 1.1, 7.0], numbers),
    }[change]
    assert space_group(other) == space_group(crystal) == 194
