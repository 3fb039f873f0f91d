"""Each format gives back what was written, in the house's units; conventions against ASE and pymatgen themselves."""

import csv
import gzip
import json
from pathlib import Path

import ase
import ase.units
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read as ase_read
from ase.io import write
from pymatgen.core import Lattice, Structure

from matjax.data.convert import from_pymatgen, to_ase, to_pymatgen
from matjax.data.read import read
from matjax.data.readers.ase_db import connected
from matjax.data.readers.pymatgen_structures import from_structures

VASP = Path(ase.__file__).parent / "test" / "testdata" / "vasp"
vasp_files = pytest.mark.skipif(not VASP.is_dir(), reason="this build of ASE ships no VASP test files")


@pytest.fixture(scope="module")
def crystals(flla):
    return flla.select([i for i, c in enumerate(flla.crystals) if 2 <= len(c) <= 8][:5])


@pytest.fixture(scope="module")
def frames():
    """Copper-gold frames with effective-medium energies, forces and stress."""
    made = []
    for seed in range(4):
        atoms = bulk("Cu", cubic=True, a=3.8).repeat((2, 1, 1))
        atoms.numbers[seed::3] = 79
        atoms.rattle(0.05, seed=seed)
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.02 * np.random.default_rng(seed).normal(size=(3, 3))), scale_atoms=True)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info = {"group": "odd" if seed % 2 else "even", "config_id": seed}
        made.append(atoms)
    return made


def check_frames(dataset, frames, atol=1e-7):
    assert len(dataset) == len(frames) and not dataset.metadata.set_aside
    for k, atoms in enumerate(frames):
        assert np.allclose(dataset.crystals[k].positions, atoms.positions, atol=atol)
        assert np.allclose(dataset.crystals[k].lattice, atoms.cell, atol=atol)
        assert dataset.crystals[k].numbers.tolist() == atoms.numbers.tolist()
        assert dataset.labels["energy"][k] == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
        assert np.allclose(dataset.labels["forces"][k], atoms.get_forces(), atol=atol)
        assert np.allclose(dataset.labels["stress"][k], atoms.get_stress(voigt=False), atol=atol)
    assert dataset.metadata.units == {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³"}
    assert (dataset.metadata.reference, dataset.metadata.structures) == ("functional", "unrelaxed")


@pytest.mark.parametrize("suffix", [".extxyz", ".xyz", ".extxyz.gz", ".extxyz.bz2", ".extxyz.xz"])
def test_extxyz(frames, tmp_path, suffix):
    path = tmp_path / f"set{suffix}"
    write(path, frames, format="extxyz")
    dataset = read(path)
    check_frames(dataset, frames)
    assert dataset.domains["group"].tolist() == ["even", "odd", "even", "odd"]
    assert dataset.domains["config_id"].tolist() == [0, 1, 2, 3]
    assert dataset.ids[0] == "frame 0" and dataset.metadata.name == "set"


def test_extxyz_reference_keys_win(frames, tmp_path):
    write(tmp_path / "set.extxyz", frames, format="extxyz")
    text = (tmp_path / "set.extxyz").read_text().replace("forces:R:3", "REF_forces:R:3").replace(" energy=", " energy=0.5 REF_energy=")
    (tmp_path / "ref.extxyz").write_text(text.replace("stress=", "dft_stress="))
    check_frames(read(tmp_path / "ref.extxyz"), frames)


def test_extxyz_partial_labels_are_nan(frames, tmp_path):
    bare = frames[1].copy()
    bare.calc = None
    write(tmp_path / "set.extxyz", [frames[0], bare], format="extxyz")
    dataset = read(tmp_path / "set.extxyz")
    assert np.isnan(dataset.labels["energy"]).tolist() == [False, True]
    assert np.isnan(dataset.labels["forces"][1]).all() and dataset.labels["forces"][1].shape == (8, 3)
    assert np.isnan(dataset.labels["stress"][1]).all() and dataset.labels["stress"].shape == (2, 3, 3)
    assert len(read(tmp_path / "set.extxyz", label="energy")) == 1


def test_units_are_converted_like_ase_converts_them(frames, tmp_path):
    scaled = []
    for atoms in frames:
        other = atoms.copy()
        other.calc = SinglePointCalculator(
            other,
            energy=atoms.get_potential_energy() / ase.units.Hartree / len(atoms),
            forces=atoms.get_forces() / (ase.units.Hartree / ase.units.Bohr),
            stress=atoms.get_stress() / ase.units.GPa,
        )
        scaled.append(other)
    write(tmp_path / "set.extxyz", scaled, format="extxyz")
    dataset = read(tmp_path / "set.extxyz", units={"energy": "Ha/atom", "forces": "Ha/bohr", "stress": "GPa"})
    check_frames(dataset, frames, atol=1e-6)


@pytest.mark.parametrize("name", ["set.db", "set.json"])
def test_ase_database(frames, tmp_path, name):
    with connected(tmp_path / name) as database:
        for atoms in frames:
            database.write(atoms, group=atoms.info["group"], gap=0.25)
    dataset = read(tmp_path / name)
    unlabelled = {k: v for k, v in dataset.metadata.units.items() if k == "gap"}
    assert unlabelled == {"gap": ""} and dataset.labels["gap"].tolist() == [0.25] * 4
    assert dataset.domains["group"].tolist() == ["even", "odd", "even", "odd"]
    check_frames(read(tmp_path / name, label="energy"), frames)
    assert dataset.ids == ("row 1", "row 2", "row 3", "row 4")


def same_structure(a, b):
    """Equal numbers and periodic distances: CIF and POSCAR may turn the lattice or wrap."""
    one, two = to_pymatgen(a), to_pymatgen(b)
    return sorted(a.numbers) == sorted(b.numbers) and np.allclose(
        np.sort(one.distance_matrix, None), np.sort(two.distance_matrix, None), atol=1e-3
    )


def save_folder(crystals, folder, kind):
    for name, crystal in zip(crystals.ids, crystals.crystals, strict=True):
        if kind == "poscar":
            (folder / name).mkdir()
            write(folder / name / "POSCAR", to_ase(crystal), format="vasp")
        elif kind == "cif.gz":
            (folder / f"{name}.cif.gz").write_bytes(gzip.compress(to_pymatgen(crystal).to(fmt="cif").encode()))
        else:
            write(folder / f"{name}.{kind}", to_ase(crystal), format={"vasp": "vasp", "cif": "cif"}[kind])


@pytest.mark.parametrize("kind", ["cif", "cif.gz", "vasp", "poscar"])
def test_folder_of_structures_with_a_csv_of_targets(crystals, tmp_path, kind):
    save_folder(crystals, tmp_path, kind)
    with (tmp_path / "targets.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["material", "formation_energy_per_atom", "family"])
        for k in (3, 1, 0, 2, 4):
            rows.writerow([crystals.ids[k], crystals.labels["formation_energy_per_atom"][k], f"f{k}"])
    dataset = read(tmp_path)
    assert sorted(dataset.ids) == sorted(crystals.ids) and not dataset.metadata.set_aside
    for row, name in enumerate(dataset.ids):
        k = crystals.ids.index(name)
        assert same_structure(dataset.crystals[row], crystals.crystals[k])
        assert dataset.labels["formation_energy_per_atom"][row] == crystals.labels["formation_energy_per_atom"][k]
        assert dataset.domains["family"][row] == f"f{k}"


def test_missing_files_and_rows_are_named(crystals, tmp_path):
    save_folder(crystals, tmp_path, "cif")
    lines = [f"{name}.cif,{k}.5" for k, name in enumerate(crystals.ids)]
    (tmp_path / "id_prop.csv").write_text("\n".join([*lines[1:], "mp-none,1.5"]))
    dataset = read(tmp_path)
    assert dict(dataset.metadata.set_aside) == {
        crystals.ids[0]: f"{crystals.ids[0]}.cif has no row in id_prop.csv",
        "mp-none": "id_prop.csv names it, but there is no such file",
    }
    assert sorted(dataset.labels["target"]) == [1.5, 2.5, 3.5, 4.5]


def test_csv_of_targets_must_be_one_and_unambiguous(crystals, tmp_path):
    save_folder(crystals, tmp_path, "cif")
    (tmp_path / "a.csv").write_text(f"{crystals.ids[0]},1.5\n{crystals.ids[0]},2.5\n")
    with pytest.raises(ValueError, match=rf"a.csv: names '{crystals.ids[0]}' twice"):
        read(tmp_path)
    (tmp_path / "b.csv").write_text(f"id,gap\n{crystals.ids[0]},1.5\n")
    with pytest.raises(ValueError, match=r"several CSV files \(a.csv, b.csv\); say which with targets="):
        read(tmp_path)
    assert read(tmp_path, targets=tmp_path / "b.csv").labels["gap"].tolist() == [1.5]
    with pytest.raises(FileNotFoundError, match="c.csv: no such file"):
        read(tmp_path, targets=tmp_path / "c.csv")


def test_single_files_for_prediction_and_bad_ones(crystals, tmp_path):
    save_folder(crystals, tmp_path, "cif")
    dataset = read(tmp_path / f"{crystals.ids[0]}.cif")
    assert dataset.ids == (crystals.ids[0],) and not dataset.labels
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a 3.0\n")
    (tmp_path / "void.cif").touch()
    assert [name for name, _ in read(tmp_path).metadata.set_aside] == ["broken", "void"]
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Ni": 0.5}], [[0, 0, 0]])
    (tmp_path / "alloy.cif").write_text(alloy.to(fmt="cif"))
    with pytest.raises(ValueError, match="alloy: alloy.cif: site 0 of .* is disordered"):
        read(tmp_path / "alloy.cif")


def test_one_damaged_file_among_many_is_set_aside(crystals, tmp_path):
    save_folder(crystals, tmp_path, "cif.gz")
    path = tmp_path / f"{crystals.ids[2]}.cif.gz"
    path.write_bytes(path.read_bytes()[:200])
    ((name, reason),) = read(tmp_path).metadata.set_aside
    assert name == crystals.ids[2] and "truncated or damaged" in reason


def test_comments_in_another_encoding_do_no_harm(crystals, tmp_path):
    save_folder(crystals, tmp_path, "cif")
    path = tmp_path / f"{crystals.ids[0]}.cif"
    path.write_bytes("# Kristallstruktur: Größe\n".encode("latin-1") + path.read_bytes())
    assert same_structure(read(path).crystals[0], crystals.crystals[0])


def test_ids_in_a_table_stay_text(crystals, tmp_path):
    rows = [
        [name, repr(to_pymatgen(c).as_dict()), 1.5] for name, c in zip(["007", "1_2", "1e5", "inf", "9"], crystals.crystals, strict=True)
    ]
    with (tmp_path / "set.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "structure", "gap"], *rows])
    assert read(tmp_path / "set.csv").ids == ("007", "1_2", "1e5", "inf", "9")


def test_a_folder_without_structures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no CIF or POSCAR file"):
        read(tmp_path)


def table(crystals, structure):
    columns = ["structure", "e_form"]
    data = [[structure(c), e] for c, e in zip(crystals.crystals, crystals.labels["formation_energy_per_atom"], strict=True)]
    return {"columns": columns, "index": list(crystals.ids), "data": data}


@pytest.mark.parametrize("dialect", ["pymatgen", "jarvis", "compact"])
def test_matbench_style_json(crystals, tmp_path, dialect):
    structure = {
        "pymatgen": lambda c: to_pymatgen(c).as_dict(),
        "jarvis": lambda c: {
            "lattice_mat": c.lattice.tolist(),
            "elements": to_ase(c).get_chemical_symbols(),
            "coords": to_ase(c).get_scaled_positions().tolist(),
            "cartesian": False,
        },
        "compact": lambda c: {"lattice": c.lattice.tolist(), "Z": c.numbers.tolist(), "positions": c.positions.tolist()},
    }[dialect]
    (tmp_path / "set.json.gz").write_bytes(gzip.compress(json.dumps(table(crystals, structure)).encode()))
    dataset = read(tmp_path / "set.json.gz")
    assert dataset.ids == crystals.ids and dataset.metadata.units == {"e_form": "eV/atom"}
    for ours, theirs in zip(dataset.crystals, crystals.crystals, strict=True):
        assert ours.numbers.tolist() == theirs.numbers.tolist() and same_structure(ours, theirs)


@pytest.mark.parametrize(
    "text", [json.dumps, repr, lambda d: Structure.from_dict(d).to(fmt="cif"), lambda d: Structure.from_dict(d).to(fmt="poscar")]
)
def test_csv_with_a_structure_column(crystals, tmp_path, text):
    with gzip.open(tmp_path / "set.csv.gz", "wt", newline="") as file:
        file.write("# ref: of the table\n")
        rows = csv.writer(file)
        rows.writerow(["material_id", "structure", "gap", "spacegroup"])
        for k, (name, c) in enumerate(zip(crystals.ids, crystals.crystals, strict=True)):
            rows.writerow([name, text(to_pymatgen(c).as_dict()), "" if k == 1 else 0.5 * k, 225])
    dataset = read(tmp_path / "set.csv.gz")
    assert dataset.ids == crystals.ids and np.array_equal(dataset.labels["gap"], [0.0, np.nan, 1.0, 1.5, 2.0], equal_nan=True)
    assert dataset.domains["spacegroup"].tolist() == [225] * 5
    assert all(map(same_structure, dataset.crystals, crystals.crystals))


def test_disordered_dictionaries_and_missing_parts_are_named(crystals, tmp_path):
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Ni": 0.5}], [[0, 0, 0]]).as_dict()
    good = to_pymatgen(crystals.crystals[0]).as_dict()
    rows = [
        {"id": "good", "structure": good},
        {"id": "alloy", "structure": alloy},
        {"id": "bare", "structure": {"lattice": [[3, 0, 0]] * 3}},
    ]
    (tmp_path / "set.json").write_text(json.dumps(rows))
    aside = dict(read(tmp_path / "set.json").metadata.set_aside)
    assert "site 0 is disordered (Cu 0.5, Ni 0.5)" in aside["alloy"]
    assert "the structure has none of Z, numbers" in aside["bare"]


def test_pymatgen_structures_in_memory(crystals):
    structures = [to_pymatgen(c) for c in crystals.crystals]
    energies = crystals.labels["formation_energy_per_atom"]
    dataset = from_structures(structures, {"formation_energy_per_atom": energies}, ids=crystals.ids, name="mine")
    assert dataset.ids == crystals.ids and np.array_equal(dataset.labels["formation_energy_per_atom"], energies)
    assert [c.key for c in dataset.crystals] == [from_pymatgen(s).key for s in structures]
    structures[2][0] = {"Cu": 0.5, "Ni": 0.5}
    assert from_structures(structures).metadata.set_aside[0][0] == "structure 2"
    with pytest.raises(ValueError, match="gap has 2 values for 5 structures"):
        from_structures(structures, {"gap": [1.0, 2.0]})


# --- VASP: the files that ASE ships, and the same files edited the way a failed run would leave them


@vasp_files
def test_outcar_agrees_with_ase():
    dataset = read(VASP / "OUTCAR_example_1")
    atoms = ase_read(VASP / "OUTCAR_example_1", format="vasp-out")
    check_frames(dataset, [atoms])
    assert dataset.metadata.functional == "PBE"


@vasp_files
def test_vasprun_agrees_with_pymatgen(tmp_path):
    from pymatgen.io.vasp import Vasprun

    path = tmp_path / "vasprun.xml"
    path.write_bytes((VASP / "vasprun_dfpt.xml").read_bytes())
    dataset = read(path)
    run = Vasprun(str(path), parse_potcar_file=False, parse_dos=False, parse_eigen=False)
    assert run.converged and dataset.labels["energy"][0] == pytest.approx(run.ionic_steps[-1]["e_0_energy"])
    kbar = -np.array(run.ionic_steps[-1]["stress"])  # VASP prints pressure in kbar
    assert np.allclose(dataset.labels["stress"][0] * 1602.176634, kbar, rtol=1e-5, atol=1e-6)
    assert np.allclose(dataset.crystals[0].positions, run.final_structure.cart_coords)


def edited(source, target, *changes):
    text = (VASP / source).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)


RELAXING = (("NSW    =      0", "NSW    =      9"), ("IBRION =     -1", "IBRION =      2"))
UNCONVERGED = ("aborting loop because EDIFF is reached", "aborting loop EDIFF was not reached (unconverged)")


@vasp_files
def test_unconverged_runs_are_set_aside_with_the_reason(tmp_path):
    edited("OUTCAR_example_1", tmp_path / "good" / "OUTCAR")
    edited("OUTCAR_example_1", tmp_path / "electronic" / "OUTCAR", UNCONVERGED)
    edited("OUTCAR_example_1", tmp_path / "ionic" / "OUTCAR", *RELAXING)
    done = (
        "General timing and accounting",
        " reached required accuracy - stopping structural energy minimisation\n General timing and accounting",
    )
    edited("OUTCAR_example_1", tmp_path / "relaxed" / "OUTCAR", *RELAXING, done)
    edited("vasprun_dfpt.xml", tmp_path / "xml" / "vasprun.xml")
    edited("OUTCAR_example_1", tmp_path / "xml" / "OUTCAR")
    dataset = read(tmp_path)
    assert dataset.ids == ("good", "relaxed", "xml")
    assert dict(dataset.metadata.set_aside) == {
        "electronic": "the electronic loop of ionic step 1 did not converge",
        "ionic": "the relaxation did not converge within 1 ionic steps",
    }
    assert len(dataset.crystals[2]) == 2  # the vasprun.xml was taken, not the OUTCAR beside it


@vasp_files
def test_vasprun_that_used_up_its_electronic_steps_is_set_aside(tmp_path):
    n_step = (VASP / "vasprun_dfpt.xml").read_text().count("<scstep>")
    edited("vasprun_dfpt.xml", tmp_path / "run" / "vasprun.xml", ('name="NELM">   100', f'name="NELM">   {n_step}'))
    with pytest.raises(ValueError, match="electronic loop of ionic step 1 did not converge"):
        read(tmp_path / "run" / "vasprun.xml")


@vasp_files
@pytest.mark.parametrize(
    ("source", "name", "reason"),
    [("OUTCAR_example_1", "OUTCAR", "OUTCAR"), ("vasprun_dfpt.xml", "vasprun.xml", "not complete XML .* was the run killed")],
)
def test_killed_runs_are_named(tmp_path, source, name, reason):
    text = (VASP / source).read_text()
    (tmp_path / name).write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=f"no usable record: .*{reason}"):
        read(tmp_path / name)


@vasp_files
def test_a_step_cut_short_is_named_and_the_complete_ones_stay(tmp_path):
    text = (VASP / "OUTCAR_example_1").read_text()
    first = text.index("Iteration    1(   1)")
    second = text[first - 41 : first + 3000].replace("Iteration    1(", "Iteration    2(")
    (tmp_path / "OUTCAR").write_text(text + second)
    dataset = read(tmp_path / "OUTCAR")
    assert len(dataset) == 1
    assert dataset.metadata.set_aside == (("OUTCAR:2", "the file ends inside ionic step 2"),)
