"""Bad input through the one door: real files of real crystals, corrupted. Each is named, refused or set aside and counted."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from matjax.data.convert import to_ase
from matjax.data.read import describe, read
from matjax.data.readers.ase_db import connected

N_GOOD = 4


@pytest.fixture(scope="module")
def crystals(flla):
    """Small real crystals with their formation energies (eV/atom)."""
    rows = [i for i, c in enumerate(flla.crystals) if 2 <= len(c) <= 6][: N_GOOD + 1]
    return flla.select(rows)


@pytest.fixture
def frames(crystals) -> list[Atoms]:
    return [with_results(to_ase(c), 1.5 * len(c)) for c in crystals.crystals]


def with_results(atoms: Atoms, energy: float, forces: np.ndarray | None = None) -> Atoms:
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((len(atoms), 3)) if forces is None else forces)
    return atoms


def rows_of(crystals) -> list[dict]:
    """Compact JSON records of the crystals."""
    return [
        {"id": name, "lattice": c.lattice.tolist(), "Z": c.numbers.tolist(), "positions": c.positions.tolist(), "gap": 1.0 + k}
        for k, (name, c) in enumerate(zip(crystals.ids, crystals.crystals, strict=True))
    ]


def nan_position(atoms):
    atoms.positions[1, 2] = np.nan


def dummy(atoms):
    atoms.numbers[0] = 0


def zero_cell(atoms):
    atoms.cell[2] = 0.0


def overlap(atoms):
    atoms.positions[1] = atoms.positions[0] + atoms.cell[0] + [0.0, 0.1, 0.0]


def nan_energy(atoms):
    with_results(atoms, np.nan)


def infinite_energy(atoms):
    with_results(atoms, np.inf)


def nan_force(atoms):
    with_results(atoms, 0.0, np.full((len(atoms), 3), np.nan))


def huge_force(atoms):
    with_results(atoms, 0.0, np.full((len(atoms), 3), 1e6))


CORRUPTIONS = [
    (nan_position, "atom 1 has a NaN"),
    (dummy, "dummy X"),
    (zero_cell, "no volume"),
    (overlap, r"overlap: 0\.100 Å apart"),
    (nan_energy, "energy is nan"),
    (infinite_energy, "energy is inf"),
    (nan_force, "forces is NaN"),
    (huge_force, r"1e\+06 eV/Å"),
]


def as_extxyz(frames, folder) -> Path:
    write(folder / "set.extxyz", frames, format="extxyz")
    return folder / "set.extxyz"


def as_db(frames, folder) -> Path:
    with connected(folder / "set.db") as database:
        for atoms in frames:
            database.write(atoms)
    return folder / "set.db"


CASES = [(save, *case) for save in (as_extxyz, as_db) for case in CORRUPTIONS if (save, case[0]) != (as_db, nan_energy)]


@pytest.mark.parametrize(("save", "corrupt", "expected"), CASES, ids=[f"{s.__name__}-{c.__name__}" for s, c, _ in CASES])
def test_one_bad_record_is_set_aside_and_counted_or_raised(frames, tmp_path, save, corrupt, expected):
    corrupt(frames[2])
    path = save(frames, tmp_path)
    dataset = read(path)
    assert len(dataset) == N_GOOD
    ((record, reason),) = dataset.metadata.set_aside
    assert record in ("frame 2", "row 3") and re.search(expected, reason)
    assert f"set aside 1 of {N_GOOD + 1} records" in describe(dataset) and record in describe(dataset)
    with pytest.raises(ValueError, match=rf"{path.name}: {record}: .*{expected}"):
        read(path, policy="raise")


def test_sqlite_keeps_nan_as_absent(frames, tmp_path):
    nan_energy(frames[2])
    path = as_db(frames, tmp_path)
    assert np.isnan(read(path).labels["energy"]).tolist() == [k == 2 for k in range(N_GOOD + 1)]
    assert read(path, label="energy").metadata.set_aside == (("row 3", "no value for energy"),)


def test_a_set_with_nothing_left_is_an_error(frames, tmp_path):
    for atoms in frames:
        zero_cell(atoms)
    with pytest.raises(
        ValueError, match=rf"set.extxyz: no usable record: all {N_GOOD + 1} were set aside \(frame 0: the cell has no volume"
    ):
        read(as_extxyz(frames, tmp_path))


def test_unknown_element_in_extxyz_and_json(frames, crystals, tmp_path):
    path = as_extxyz(frames, tmp_path)
    lines = path.read_text().splitlines()
    lines[2] = "Qq " + lines[2].split(maxsplit=1)[1]
    path.write_text("\n".join(lines) + "\n")
    assert read(path).metadata.set_aside == (("frame 0", "unknown element or column 'Qq'"),)
    rows = rows_of(crystals)
    rows[1]["Z"][0] = "Qq"
    (tmp_path / "set.json").write_text(json.dumps(rows))
    assert read(tmp_path / "set.json").metadata.set_aside == ((crystals.ids[1], "unknown or dummy element 'Qq'"),)


def test_left_handed_cells_are_read(frames, tmp_path):
    for atoms in frames:
        atoms.set_cell(np.asarray(atoms.cell)[[1, 0, 2]], scale_atoms=False)
    dataset = read(as_extxyz(frames, tmp_path))
    assert not dataset.metadata.set_aside
    for crystal, atoms in zip(dataset.crystals, frames, strict=True):
        assert np.linalg.det(crystal.lattice) * np.linalg.det(atoms.cell) > 0 and crystal.volume == pytest.approx(
            abs(np.linalg.det(atoms.cell))
        )


def test_mixed_periodicity_is_noted(frames, tmp_path):
    frames[0].pbc = [True, True, False]
    dataset = read(as_extxyz(frames, tmp_path))
    note = f"mixed periodicity: {N_GOOD} periodic in 3, 1 periodic in 2 directions"
    assert dataset.crystals[0].pbc.tolist() == [True, True, False]
    assert note in dataset.metadata.notes and note in describe(dataset)


def test_million_atom_cell_is_set_aside_unread(frames, tmp_path):
    path = as_extxyz(frames, tmp_path)
    with path.open("a") as file:
        file.write('1000000\nLattice="300 0 0 0 300 0 0 0 300"\n' + "Cu 0 0 0\n" * 1_000_000)
    dataset = read(path)
    assert len(dataset) == N_GOOD + 1
    ((record, reason),) = dataset.metadata.set_aside
    assert record == f"frame {N_GOOD + 1}" and "1,000,000 atoms are more than max_atoms=100,000" in reason


def test_max_atoms_is_a_choice(frames, tmp_path):
    smallest = min(map(len, frames))
    dataset = read(as_db(frames, tmp_path), max_atoms=smallest)
    assert {len(c) for c in dataset.crystals} == {smallest}
    assert len(dataset) + len(dataset.metadata.set_aside) == N_GOOD + 1


def test_repeated_ids_are_made_unique_and_noted(crystals, tmp_path):
    rows = rows_of(crystals)
    rows[3]["id"] = rows[1]["id"] = rows[0]["id"]
    (tmp_path / "set.json").write_text(json.dumps(rows))
    dataset = read(tmp_path / "set.json")
    assert dataset.ids[:4] == (rows[0]["id"], rows[0]["id"] + "#2", rows[2]["id"], rows[0]["id"] + "#3")
    assert "2 repeated ids were made unique" in dataset.metadata.notes
    assert dataset.labels["gap"].tolist() == [row["gap"] for row in rows]


def test_an_id_that_looks_like_a_repeat_is_not_taken_twice(crystals, tmp_path):
    rows = rows_of(crystals)
    rows[0]["id"], rows[1]["id"], rows[2]["id"] = "a", "a#2", "a"
    (tmp_path / "set.json").write_text(json.dumps(rows))
    assert read(tmp_path / "set.json").ids[:3] == ("a", "a#2", "a#3")


def test_formation_energies_in_kj_per_mol_are_refused_then_converted(flla, tmp_path):
    some = flla.select(range(60))
    energies = some.labels["formation_energy_per_atom"]
    rows = [{**row, "formation_energy_per_atom": e / 0.010364269656262} for row, e in zip(rows_of(some), energies, strict=True)]
    path = tmp_path / "set.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"formation_energy_per_atom: .* looks like kJ/mol/atom .*Pass units="):
        read(path)
    dataset = read(path, units={"formation_energy_per_atom": "kJ/mol/atom"})
    assert np.allclose(dataset.labels["formation_energy_per_atom"], energies, rtol=1e-12)
    assert dataset.metadata.units["formation_energy_per_atom"] == "eV/atom" and dataset.metadata.reference == "elements"


@pytest.mark.parametrize("name", ["set.extxyz", "set.json", "set.csv", "set.db", "set.cif", "OUTCAR", "folder"])
def test_missing_file_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"{name}: no such file"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["set.extxyz", "set.extxyz.gz", "set.json", "set.csv", "set.db", "set.cif", "POSCAR", "OUTCAR", "vasprun.xml"]
)
def test_empty_file_is_named(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"{name}: the file is empty"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["set.extxyz.gz", "set.json.gz", "set.csv.gz", "vasprun.xml.gz"])
def test_gz_of_nothing_is_an_error(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(b""))
    with pytest.raises(ValueError, match=name):
        read(tmp_path / name)


def test_truncated_gz_names_file_and_frame(frames, tmp_path):
    whole = gzip.compress(as_extxyz(frames * 200, tmp_path).read_bytes())
    (tmp_path / "cut.extxyz.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.extxyz.gz: the compressed file is truncated or damaged in frame \d+ "):
        read(tmp_path / "cut.extxyz.gz")


@pytest.mark.parametrize("name", ["set.json.gz", "set.csv.gz", "mp-1.cif.gz", "OUTCAR.gz"])
def test_truncated_gz_of_the_other_formats(tmp_path, crystals, name):
    whole = gzip.compress(json.dumps(rows_of(crystals)).encode())
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{name}: the compressed file is truncated or damaged"):
        read(tmp_path / name)


def test_a_file_that_is_not_what_its_suffix_says(tmp_path):
    (tmp_path / "set.extxyz.gz").write_text("4\n")
    with pytest.raises(ValueError, match="truncated or damaged|not a .gz file"):
        read(tmp_path / "set.extxyz.gz")
    (tmp_path / "set.extxyz").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(ValueError, match="set.extxyz: is not text"):
        read(tmp_path / "set.extxyz")
    (tmp_path / "set.db").write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(ValueError, match="set.db: is not a readable ASE database"):
        read(tmp_path / "set.db")


def test_truncated_and_malformed_extxyz(frames, tmp_path):
    lines = as_extxyz(frames, tmp_path).read_text().splitlines()
    path = tmp_path / "cut.xyz"
    path.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(
        ValueError,
        match=rf"cut.xyz: truncated: frame {N_GOOD} announces {len(frames[-1])} atoms.*read as extxyz, guessed from the suffix .xyz",
    ):
        read(path)
    path.write_text("\n".join([*lines[:4], *lines[5:]]) + "\n")
    with pytest.raises(ValueError, match=r"cut.xyz: frame 1 should start with its number of atoms"):
        read(path)
    words = lines[3].split()
    path.write_text("\n".join([*lines[:3], " ".join([words[0], "1.o", *words[2:]]), *lines[4:]]) + "\n")
    ((record, reason),) = read(path).metadata.set_aside
    assert record == "frame 0" and "malformed frame" in reason


def test_truncated_json_and_csv(tmp_path, crystals):
    text = json.dumps(rows_of(crystals))
    (tmp_path / "set.json").write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match="set.json: is not complete JSON"):
        read(tmp_path / "set.json")
    structure = json.dumps(rows_of(crystals)[0]).replace('"', '""')
    (tmp_path / "set.csv").write_text(f'id,structure,gap\na,"{structure}",1.5\nb,"{structure[:90]}')
    with pytest.raises(ValueError, match="set.csv: line 3: .*truncated"):
        read(tmp_path / "set.csv")
    (tmp_path / "set.csv").write_text(f'id,structure,gap\na,"{structure}",1.5\nb,"{structure}"\n')
    with pytest.raises(ValueError, match=r"set.csv: row 2 \(line 3\) has 2 fields, the header 3"):
        read(tmp_path / "set.csv")


def test_nan_targets_of_a_table(tmp_path, crystals):
    rows = rows_of(crystals)
    rows[0]["gap"], rows[1]["gap"], rows[2]["gap"] = np.nan, np.inf, None
    path = tmp_path / "set.json"
    path.write_text(json.dumps(rows))
    dataset = read(path)
    assert [record for record, _ in dataset.metadata.set_aside] == list(crystals.ids[:2])
    assert np.isnan(dataset.labels["gap"]).tolist() == [True, False, False]
    named = read(path, label="gap")
    assert (crystals.ids[2], "no value for gap") in named.metadata.set_aside and len(named) == N_GOOD - 2


def test_nan_beside_another_property_is_absent_and_counted(tmp_path, crystals):
    rows = [{**row, "bulk_modulus": np.nan if k == 1 else 100.5} for k, row in enumerate(rows_of(crystals))]
    path = tmp_path / "set.json"
    path.write_text(json.dumps(rows))
    dataset = read(path)
    assert len(dataset) == N_GOOD + 1 and "NaN read as absent: 1 of bulk_modulus" in dataset.metadata.notes
    assert [r for r, _ in read(path, label="bulk_modulus").metadata.set_aside] == [crystals.ids[1]]


def test_text_where_the_target_should_be(tmp_path, crystals):
    rows = rows_of(crystals)
    rows[1]["gap"] = "n/a"
    (tmp_path / "set.json").write_text(json.dumps(rows))
    assert read(tmp_path / "set.json", label="gap").metadata.set_aside == ((crystals.ids[1], "gap is 'n/a', not a number"),)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"policy": "ignore"}, "unknown policy 'ignore'; allowed: set_aside, raise"),
        ({"format": "xls"}, "unknown format 'xls'; allowed: extxyz, ase_db"),
        ({"label": "band_gap"}, "has no label 'band_gap'; its numeric columns are .*energy"),
        ({"units": {"gap": "eV"}}, "units names 'gap', which is not a label; the labels are energy, forces"),
        ({"units": {"energy": "erg"}}, "unknown energy unit 'erg'"),
        ({"units": {"forces": "eV"}}, "unknown force unit 'eV'"),
        ({"targets": "targets.csv"}, "targets= goes with CIF or POSCAR"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(frames, tmp_path, arguments, expected):
    with pytest.raises(ValueError, match=expected):
        read(as_extxyz(frames, tmp_path), **arguments)


def test_a_name_that_says_nothing_is_refused(tmp_path):
    (tmp_path / "set.dat").write_text("1")
    with pytest.raises(ValueError, match="set.dat: cannot tell the format from the name; say format= one of extxyz"):
        read(tmp_path / "set.dat")
