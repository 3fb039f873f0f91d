"""The table of elements against ASE, mendeleev's laws of the periodic table, and its own door."""

import subprocess
import sys

import numpy as np
import pytest
from ase.data import atomic_masses_iupac2016, chemical_symbols

from matjax.data import elements


def test_symbols_and_numbers_are_those_of_ase() -> None:
    assert list(elements.SYMBOLS[1:]) == chemical_symbols[1:]
    assert all(elements.number(elements.symbol(z)) == z for z in range(1, 119))


def test_masses_are_those_of_ase() -> None:
    stable = [z for z in range(1, 93) if z not in (43, 61, *range(84, 90), 91)]
    np.testing.assert_allclose(elements.table()["mass"][stable], atomic_masses_iupac2016[stable], rtol=2e-3)


@pytest.mark.parametrize(
    ("wrong", "hint"), [("fe", "Fe"), ("Xx", "element symbol"), ("D", "element symbol"), ("", "element symbol"), ("X", "Xe")]
)
def test_unknown_symbol_names_the_nearest(wrong: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        elements.number(wrong)


@pytest.mark.parametrize("wrong", [0, -1, 119])
def test_unknown_number_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="1 to 118"):
        elements.symbol(wrong)


def test_valence_shells_follow_the_aufbau() -> None:
    table = elements.table()
    shells = {s: tuple(int(table[f"valence_{o}"][elements.number(s)]) for o in "spdf") for s in ("H", "O", "Fe", "Cu", "Gd", "Pb", "U")}
    assert shells == {
        "H": (1, 0, 0, 0),
        "O": (2, 4, 0, 0),
        "Fe": (2, 0, 6, 0),
        "Cu": (1, 0, 10, 0),
        "Gd": (2, 0, 1, 7),
        "Pb": (2, 2, 10, 14),
        "U": (2, 0, 1, 3),
    }


def test_neutral_main_group_atoms_have_as_many_valence_electrons_as_their_group_says() -> None:
    table = elements.table()
    for z in range(1, 89):
        group, block = table["group"][z], table["block"][z]
        if block in "sp" and z != 2:
            assert table["valence_s"][z] + table["valence_p"][z] == (group if block == "s" else group - 10), elements.symbol(z)


def test_gaps_are_filled_and_named() -> None:
    table = elements.table()
    numeric = [name for name, column in table.items() if column.dtype.kind == "f"]
    assert all(np.isfinite(table[name][1:]).all() and np.isnan(table[name][0]) for name in numeric)
    assert "electronegativity" in table["filled"][elements.number("Ar")]
    assert table["electronegativity"][elements.number("Ar")] == table["electronegativity"][elements.number("Kr")]
    assert table["filled"][elements.number("Fe")] == ""


def test_physical_features_are_standard_distinct_and_read_only() -> None:
    features = elements.physical_features()
    assert features.shape == (119, 41)
    assert features.dtype == np.float32
    assert not features[0].any()
    np.testing.assert_allclose(features[1:104, :12].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(features[1:104, :12].std(0), 1, atol=1e-5)
    np.testing.assert_array_equal(features[1:, 12:].sum(1), 3)
    assert len(np.unique(features[1:], axis=0)) == 118
    with pytest.raises(ValueError, match="read-only"):
        features[1, 0] = 1.0


@pytest.mark.parametrize(
    ("symbol", "relatives"), [("Ni", {"Co", "Pd", "Fe", "Cu", "Pt"}), ("Cl", {"F", "Br", "I", "S"}), ("Pr", {"Ce", "Nd", "Pm", "La"})]
)
def test_the_nearest_element_is_a_chemical_relative(symbol: str, relatives: set[str]) -> None:
    features, z = elements.physical_features(), elements.number(symbol)
    distance = np.linalg.norm(features - features[z], axis=1)
    distance[[0, z]] = np.inf
    assert elements.symbol(int(distance.argmin())) in relatives


def test_import_needs_neither_pymatgen_nor_pandas() -> None:
    code = "import sys, matjax.data; assert not {'pymatgen', 'pandas', 'ase.io'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
