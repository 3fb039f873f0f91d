"""People as an oracle: the campaign waits, goes on with what is filled, and counts nothing twice."""

import csv
from pathlib import Path

import jax
import numpy as np
import pytest
from ase.build import bulk

from matjax.campaign import CampaignStopped, Emt, Human, Recipe, discover, failure_class
from matjax.campaign.trace import status
from matjax.data.convert import from_ase
from matjax.units import ENERGY
from matjax.value import Random
from tests.campaign.tiny import Tiny

NI = from_ase(bulk("Ni", a=3.5))
B2 = from_ase(bulk("NiAl", "cesiumchloride", a=2.9))


def rows(sheet: Path) -> list[dict]:
    return list(csv.DictReader(sheet.read_text(encoding="utf-8").splitlines()))


def write(sheet: Path, table: list[dict]) -> None:
    with open(sheet, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


def fill(sheet: Path, pick: slice, **values: str) -> None:
    table = rows(sheet)
    for row in table[pick]:
        row |= {next(name for name in row if name.startswith(quantity)): value for quantity, value in values.items()}
    write(sheet, table)


def test_a_row_says_what_to_make_and_is_read_when_it_is_filled(tmp_path) -> None:
    sheet = tmp_path / "lab" / "sheet.csv"
    oracle = Human(str(sheet), ("Al", "Ni"))
    first = oracle.measure([B2, NI, NI])
    assert [failure_class(r) for r in first] == ["waiting"] * 3 and "is to be filled: energy and volume" in first[0].error
    assert [(r["formula"], r["structure"], r["at.%"]) for r in rows(sheet)] == [
        ("Al1Ni1", "bcc", "Al 50.00 Ni 50.00"),
        ("Ni1", "fcc", "Ni 100.00"),
    ]
    assert rows(sheet)[0]["wt.%"] == "Al 31.49 Ni 68.51"
    fill(sheet, slice(0, 1), energy="-62.5")
    assert oracle.measure([B2])[0].error.endswith("(Al1Ni1, bcc) is to be filled: volume [Å³/atom]")
    fill(sheet, slice(0, 1), volume="11.9", bulk_modulus="160", shear_modulus="80")
    made, pure = oracle.measure([B2, NI])
    assert made.converged and failure_class(pure) == "waiting" and len(rows(sheet)) == 2
    np.testing.assert_allclose([made.labels["energy_per_atom"], made.crystal.volume], [-62.5 * ENERGY["kJ/mol"], 2 * 11.9])
    assert made.elastic is not None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: [*table, table[0]], "line 4: a second row of Al1Ni1 bcc; keep one"),
        (lambda table: [table[0] | {"formula": "Al3Ni1"}], "line 2: .* is not what was asked for as Al3Ni1 bcc"),
        (lambda table: [table[0] | {"id": ""}], "line 2: id is empty"),
        (lambda table: [table[0] | {"energy [kJ/mol/atom]": "nan", "volume [Å³/atom]": "12"}], "is nan; it must be finite"),
        (lambda table: [table[0] | {"energy [kJ/mol/atom]": "-62,5", "volume [Å³/atom]": "12"}], "is '-62,5', which is no number"),
    ],
    ids=["twice", "unknown", "no id", "nan", "comma"],
)
def test_a_sheet_that_makes_no_sense_is_refused(tmp_path, spoil, message: str) -> None:
    oracle = Human(str(tmp_path / "sheet.csv"), ("Al", "Ni"))
    oracle.measure([B2, NI])
    write(tmp_path / "sheet.csv", spoil(rows(tmp_path / "sheet.csv")))
    with pytest.raises(ValueError, match=message):
        oracle.measure([B2])


def test_a_campaign_waits_and_goes_on_without_counting_twice(tmp_path) -> None:
    sheet, folder = tmp_path / "sheet.csv", tmp_path / "run"
    ask = lambda: discover(
        Tiny(), Human(str(sheet), Tiny.elements), Random(), None, budget=2, batch=2, pool=4, run_dir=folder, key=jax.random.key(0)
    )
    with pytest.raises(CampaignStopped, match="waiting for measurements: 4 of 4 candidates"):
        ask()
    fill(sheet, slice(0, 3), energy="0", volume="15")
    with pytest.raises(CampaignStopped, match="waiting for measurements: 1 of 4 candidates; .* Nothing was charged"):
        ask()
    fill(sheet, slice(3, 4), energy="0", volume="15")
    with pytest.raises(CampaignStopped, match="waiting for measurements: 2 of 2 candidates"):
        ask()
    picks = [row["formula"] for row in rows(sheet)[4:]]
    for _ in range(10):  # however often one looks too early
        with pytest.raises(CampaignStopped, match="2 of 2"):
            ask()
    assert status(folder)["spent"] == 0 and [row["formula"] for row in rows(sheet)[4:]] == picks
    fill(sheet, slice(4, None), energy="-1", volume="14")
    trace = ask()
    assert len(trace.rows) == 2 and status(folder)["spent"] == 2 and Emt(Recipe()).elements
    np.testing.assert_allclose([row["stability"] for row in trace.rows], -ENERGY["kJ/mol"])
