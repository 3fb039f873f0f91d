"""Any ASE calculator by import path: one bad crystal spoils nothing, and nothing is left behind."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from matjax.campaign import AseOracle, Emt, Oracle, Recipe, check_result, failure_class
from matjax.data.convert import from_ase
from matjax.toml import from_toml, to_toml
from matjax.types import Crystal

EMT = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")
MOODY = AseOracle("tests.campaign.calculators.Moody", EMT, recipe=Recipe(n_copy=1))


def crystal(symbol: str) -> Crystal:
    return from_ase(bulk(symbol, cubic=True))


@pytest.mark.parametrize("oracle", [Emt(), MOODY], ids=["emt", "ase"])
def test_sound_answers_pass_every_check(oracle: Oracle) -> None:
    crystals = [crystal("Cu"), crystal("Ni")]
    results = oracle.measure(crystals, elastic=True, frames=True)
    for given, result in zip(crystals, results, strict=True):
        assert check_result(given, result, elastic=True, frames=True) is result and result.converged and result.cost > 0
    # ASE's documented EMT: Cu at 3.59 Å, C11 - C12 and C44 positive, energies near zero by construction
    np.testing.assert_allclose((4 * results[0].labels["volume_per_atom"]) ** (1 / 3), 3.59, atol=0.01)
    assert results[0].elastic[0, 0] > results[0].elastic[0, 1] > 0 < results[0].elastic[3, 3]
    bare = oracle.measure(crystals)[0]
    assert bare.elastic is None and bare.frames is None and bare.labels == results[0].labels


def test_a_bad_crystal_is_a_failed_result_among_good_ones() -> None:
    results = MOODY.measure([crystal(symbol) for symbol in ("Cu", "Au", "Ag", "Pt", "Fe", "Ni")])
    assert [r.status for r in results] == ["converged", "failed", "failed", "failed", "failed", "converged"]
    assert [failure_class(r) for r in results[1:5]] == ["numerical", "programming", "programming", "programming"]
    assert results[1].error == "numerical: ArithmeticError: the forces of the calculator: not finite"
    assert results[2].error == "programming: Unpicklable: holds a function"
    assert results[3].error == "programming: SystemExit: no licence"
    assert results[4].error.startswith("programming: Moody does not know Fe; it knows Al, Ni")
    assert [r.status for r in pickle.loads(pickle.dumps(results))] == [r.status for r in results]


@pytest.mark.parametrize(
    ("oracle", "message"),
    [
        (AseOracle("ase.calculators.absent.EMT", EMT), "ModuleNotFoundError: No module named 'ase.calculators.absent'"),
        (AseOracle("ase.calculators.emt.Absent", EMT), "AttributeError: .* has no attribute 'Absent'"),
        (AseOracle("tests.campaign.calculators.Moody", EMT, (("cutof", 3.0),)), "unexpected keyword argument 'cutof'"),
    ],
    ids=["module", "attribute", "setting"],
)
def test_a_wrong_path_or_setting_is_a_fault_of_the_program(oracle: AseOracle, message: str) -> None:
    (result,) = oracle.measure([crystal("Cu")])
    assert failure_class(result) == "programming"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(result.error)


def test_settings_reach_the_calculator() -> None:
    energy = lambda *settings: AseOracle("ase.calculators.emt.EMT", EMT, settings).measure([crystal("Cu")])[0].labels["energy_per_atom"]
    assert energy(("asap_cutoff", True)) != energy()


def test_an_attempt_has_its_own_folder_which_goes_with_it() -> None:
    results = AseOracle("tests.campaign.calculators.Writing", EMT).measure([crystal("Cu"), crystal("Cu")])
    folders = [Path(r.error.partition("] ")[2].partition("|")[0]) for r in results]
    assert folders[0] != folders[1] and all("matjax-" in f.name and not f.exists() for f in folders)
    Path("scratch").unlink()  # in this process it stood here


def test_oracles_are_specs() -> None:
    oracle = AseOracle("ase.calculators.emt.EMT", ("Cu", "Ni"), (("asap_cutoff", True), ("box", (1, 2))), time_limit=60.0, note="smoke")
    assert from_toml(to_toml(oracle), AseOracle) == oracle and pickle.loads(pickle.dumps(oracle)) == oracle and hash(oracle)
    written = """
kind = "ase"
calculator = "ase.calculators.emt.EMT"
known = ["Cu"]
settings = [["asap_cutoff", true]]
recipe = {max_force = 0.05}
"""
    read = from_toml(written, AseOracle | Emt)
    assert read.settings == (("asap_cutoff", True),) and read.max_force == 0.05 and read.elements == ("Cu",)
    assert from_toml('kind = "emt"', AseOracle | Emt) == Emt()
    assert (read.name, read.version.split()[0]) == ("EMT", "ase") and AseOracle(
        "tests.campaign.calculators.Moody", EMT
    ).version == "unknown"
    assert "wrong sign" in Emt().note and Emt().elements == EMT


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"calculator": "emtt"}, "calculator is 'emtt'; it must be an import path such as .*, or a name: emt, lammps, chgnet"),
        ({"calculator": "ase:EMT"}, "calculator is 'ase:EMT'"),
        ({"known": ()}, "known is empty"),
        ({"known": ("Xy",)}, "'Xy' is no element symbol"),
        ({"time_limit": 0.0}, "time_limit is 0.0 s; it must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AseOracle(**{"calculator": "ase.calculators.emt.EMT", "known": EMT} | settings)
