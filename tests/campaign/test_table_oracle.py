"""A table as an oracle: what it says, what it does not say, and what is refused at the door."""

import numpy as np
import pytest
from ase.build import bulk

from matjax.campaign import Table, check_result, failure_class
from matjax.data.convert import from_ase
from matjax.simulate.cells import cells as cells_of
from matjax.simulate.cells import element_volumes, solution
from matjax.toml import from_toml, to_toml

HEAD = "formula,structure,energy [kJ/mol/atom],volume [Å³/atom],bulk_modulus [GPa],shear_modulus [GPa]\n"
B2 = from_ase(bulk("NiAl", "cesiumchloride", a=2.9))


def table(tmp_path, text: str, name: str = "table.csv") -> Table:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Table(str(tmp_path / name), ("Al", "Ni"))


def test_rows_are_found_by_formula_and_structure(tmp_path) -> None:
    oracle = table(tmp_path, HEAD + "Al50Ni50,221,-62.5,11.9,160,\nNiAl,fcc,-40,12.1,150,70\nAl,225,0,16.5,,\nNi,fcc,0,10.9,,\n")
    fcc = cells_of(solution("fcc", {"Al": 16, "Ni": 16}), 1, element_volumes(("Al", "Ni")))[0]
    bcc = cells_of(solution("bcc", {"Al": 27, "Ni": 27}), 1, element_volumes(("Al", "Ni")))[0]
    crystals = [B2, fcc, from_ase(bulk("Al")), from_ase(bulk("Ni")), bcc]
    results = oracle.measure(crystals, elastic=True, frames=True)
    found = [check_result(c, r, max_force=oracle.max_force) for c, r in zip(crystals, results, strict=True)]
    assert [r.status for r in found] == ["converged"] * 4 + ["failed"] and oracle.gives == ()
    np.testing.assert_allclose([r.labels["energy_per_atom"] for r in found[:2]], np.array([-62.5, -40]) * 0.010364269656262)
    np.testing.assert_allclose([r.crystal.volume / len(r.crystal) for r in found[:4]], [11.9, 12.1, 16.5, 10.9])
    assert found[0].elastic is None and found[0].evidence["relaxed"] == 0.0
    elastic = found[1].elastic * 160.2176634
    np.testing.assert_allclose([elastic[:3, :3].sum() / 9, elastic[3, 3], (elastic[0, 0] - elastic[0, 1]) / 2], [150, 70, 70])
    assert failure_class(found[4]) == "unlisted" and "has no row of Al1Ni1 with structure 1 or bcc" in found[4].error


def test_json_reads_as_csv_and_another_content_is_another_version(tmp_path) -> None:
    rows = '[{"formula": "NiAl", "structure": 221, "energy [eV/atom]": -0.648, "volume [Å³/atom]": 12.0}]'
    oracle = table(tmp_path, rows, "table.json")
    assert oracle.measure([B2])[0].labels == {"energy_per_atom": -0.648, "volume_per_atom": 12.0}
    before = oracle.version
    assert table(tmp_path, rows.replace("648", "650"), "table.json").version != before
    assert from_toml(to_toml(oracle), Table) == oracle


WRONG = {
    "twice": (HEAD + "NiAl,221,-62,12,,\nAlNi,221,-61,12,,\n", "line 3 .*a second row of Al1Ni1 221"),
    "nan": (HEAD + "NiAl,221,nan,12,,\n", "line 2 .*is nan; it must be finite"),
    "empty": (HEAD + "NiAl,221,,12,,\n", "is '', which is no number"),
    "text": (HEAD + "NiAl,221,low,12,,\n", "is 'low', which is no number"),
    "hartree": (HEAD.replace("kJ/mol/atom", "eV/atom") + "NiAl,221,-4000,12,,\n", "energy is -4000 eV/atom; is its unit right"),
    "cell volume": (HEAD + "NiAl,221,-62,400,,\n", "volume is 400 Å³/atom; is its unit right"),
    "no unit": (HEAD.replace(" [kJ/mol/atom]", "") + "NiAl,221,-62,12,,\n", "column 'energy' must say its unit in brackets, as in 'energy"),
    "odd unit": (HEAD.replace("kJ/mol/atom", "kJ") + "NiAl,221,-62,12,,\n", "must say its unit"),
    "no volume": ("formula,structure,energy [eV/atom]\nNiAl,221,-62\n", "no column of volume"),
    "no structure": ("formula,energy [eV/atom],volume [Å³/atom]\nNiAl,-1,12\n", "no column structure"),
    "no formula": (HEAD + "Xyz,221,-62,12,,\n", "'Xyz' is no chemical formula"),
    "fractions": (HEAD + "Ni0.5Al0.5,221,-62,12,,\n", "must have whole numbers of atoms"),
    "no rows": (HEAD, "holds no rows"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_makes_no_sense_is_refused_at_the_door(tmp_path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = table(tmp_path, text).version


def test_an_absent_table_is_said() -> None:
    with pytest.raises(ValueError, match="the table nowhere.csv cannot be read: No such file"):
        _ = Table("nowhere.csv", ("Al",)).version
