"""A program as an oracle: the contract both ways, every way in which it can go wrong, and nothing that outlives it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from matjax.campaign import Command, Emt, Recipe, check_result, failure_class
from matjax.campaign.scratch import Scratch
from matjax.data.convert import from_ase
from matjax.toml import from_toml, to_toml
from matjax.types import Crystal
from matjax.units import ENERGY
from tests.campaign.test_worker import is_running, until

KNOWN = ("Al", "Au", "Cu", "Ni")
PYTHON = f"{sys.executable} -I"

EVALUATE = """
import json, sys
from ase import Atoms
from ase.calculators.emt import EMT
asked = json.load(sys.stdin)
atoms = Atoms(asked["symbols"], asked["positions"], cell=asked["lattice"], pbc=asked["pbc"], calculator=EMT())
units = {"energy": "Ha", "length": "bohr", "pressure": "GPa"}
ha, bohr, gpa = 27.211386245988, 0.529177210903, 1 / 160.2176634
print("a chatty program")
print(json.dumps({"units": units, "energy": atoms.get_potential_energy() / ha,
    "forces": (atoms.get_forces() / ha * bohr).tolist(), "stress": (atoms.get_stress() / gpa).tolist()}))
"""


def crystal(symbol: str = "Cu", a: float | None = None) -> Crystal:
    return from_ase(bulk(symbol, cubic=True, a=a))


def command(line: str, **settings) -> Command:
    return Command(line, KNOWN, **{"time_limit": 60.0, "recipe": Recipe(gives=())} | settings)


def says(**answer) -> str:
    """A command that prints this answer."""
    return f"printf '%s' '{json.dumps({'units': {'energy': 'eV', 'length': 'Å', 'pressure': 'GPa'}, **answer})}'"


def one(oracle: Command, given: Crystal | None = None):
    (result,) = oracle.measure([given or crystal()])
    return result


def test_evaluations_in_other_units_give_what_the_calculator_gives_here(tmp_path) -> None:
    (tmp_path / "evaluate.py").write_text(EVALUATE)
    recipe = Recipe(n_copy=1, gives=("frames",))
    oracle = Command(f"{PYTHON} {tmp_path}/evaluate.py", KNOWN, task="evaluate", recipe=recipe)
    given = crystal("Cu", 3.6)
    (there,) = oracle.measure([given], elastic=True, frames=True)
    (here,) = Emt(recipe).measure([given], elastic=True, frames=True)
    assert check_result(given, there, frames=True) is there and there.elastic is None
    np.testing.assert_allclose(there.labels["energy_per_atom"], here.labels["energy_per_atom"], atol=1e-10)
    np.testing.assert_allclose(there.crystal.lattice, here.crystal.lattice, atol=1e-8)
    np.testing.assert_allclose(there.frames.labels["stress"], here.frames.labels["stress"], atol=1e-9)
    assert there.evidence.keys() == here.evidence.keys() and there.evidence["relaxed"] == 1.0


def test_a_measurement_says_everything_in_its_own_units() -> None:
    given, elastic = crystal("Cu", 3.6), np.diag([170.0, 170, 170, 75, 75, 75]) + 1.0
    lattice = (3.61 * np.eye(3)).tolist()
    frame = {"lattice": lattice, "energy": -14.0, "forces": np.zeros((4, 3)).tolist(), "stress": [1.0, 2, 3, 4, 5, 6]}
    line = says(energy=-14.0, lattice=lattice, max_force=0.01, max_stress=0.02, n_step=7, elastic=elastic.tolist(), frames=[frame])
    result = one(command(line), given)
    assert check_result(given, result, elastic=True, frames=True) is result
    np.testing.assert_allclose(result.labels["energy_per_atom"], -3.5)
    np.testing.assert_allclose(result.labels["volume_per_atom"], 3.61**3 / 4)
    np.testing.assert_allclose(result.elastic * 160.2176634, elastic)
    np.testing.assert_allclose(result.frames.labels["stress"][0] * 160.2176634, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    np.testing.assert_allclose(result.evidence["max_stress"], 0.02 / 160.2176634)
    np.testing.assert_allclose(result.crystal.positions, given.positions * 3.61 / 3.6)
    assert (result.evidence["relaxed"], result.evidence["n_step"], result.evidence["max_force"]) == (1.0, 7.0, 0.01)
    unrelaxed = one(command(says(energy=-14.0, forces=[[0.003, 0.004, 0]] * 4)))
    assert unrelaxed.evidence["relaxed"] == 0.0 and unrelaxed.evidence["max_force"] == pytest.approx(0.005)


def test_the_question_is_in_the_folder_and_on_standard_input(tmp_path) -> None:
    one(command(f"cmp - crystal.json && grep -q Properties=species crystal.extxyz && cp crystal.json {tmp_path}/seen && exit 65"))
    asked = json.loads((tmp_path / "seen").read_text())
    assert asked["symbols"] == ["Cu"] * 4 and asked["units"] == {"energy": "eV", "length": "Å", "pressure": "eV/Å³"}
    assert asked["task"] == "measure" and asked["elastic"] is False and asked["max_force"] == 0.02


GOOD = {"energy": -14.0, "max_force": 0.01}
WRONG = {
    "no answer": ("true", "programming", "no JSON object in the output; its end: nothing"),
    "no json": ("echo done", "programming", "no JSON object in the output; its end: done"),
    "no units": ('echo \'{"energy": 1}\'', "programming", 'the answer does not say its unit of energy; it must hold "units"'),
    "odd unit": (says(**GOOD | {"units": {"energy": "Hartree", "length": "Å"}}), "programming", "'Hartree'; allowed: eV, meV, Ha"),
    "no energy": (says(max_force=0.01), "programming", "the answer has no energy"),
    "text": (says(**GOOD | {"energy": "low"}), "programming", "energy of the answer is no number: low"),
    "shape": (says(**GOOD | {"positions": [[0, 0, 0]]}), "programming", r"positions of the answer has shape \(1, 3\); it must be \(4, 3\)"),
    "stranger": (says(**GOOD, stres=1), "programming", "fields that nobody reads: stres; allowed: units"),
    "exit 1": ("echo Traceback >&2; echo KeyError: Xy >&2; exit 1", "programming", "exit code 1: Traceback | KeyError: Xy"),
    "not found": ("no-such-program", "programming", "exit code 127: .*no-such-program"),
    "exit 3": ("echo no SCF convergence >&2; exit 3", "numerical", "exit code 3: no SCF convergence"),
    "exit 75": ("exit 75", "transient", "exit code 75: it wrote nothing"),
    "exit 65": ("exit 65", "physical", "exit code 65"),
    "killed": ("kill -9 $$", "transient", "exit code 137"),
    "told": (says(error="physical: it exploded"), "physical", "it exploded"),
    "told no class": (says(error="SCF"), "numerical", "SCF"),
    "nan": (says(**GOOD).replace("-14.0", "NaN"), "numerical", "energy_per_atom is nan"),
    "atoms": (says(**GOOD, symbols=["Cu", "Cu", "Cu", "Al"]), "programming", r"wrong atoms: 4 went in \(Cu4\), 4 came back \(Al1Cu3\)"),
    "no evidence": (says(energy=-14.0), "numerical", "no evidence of convergence"),
    "status": (says(**GOOD, status="done"), "programming", "status of a result is 'done'"),
    "moved": (says(**GOOD, status="transformed", error="physical: bcc now"), "physical", "bcc now"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "failure", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_goes_wrong_is_told_with_its_class(line: str, failure: str, message: str) -> None:
    given = crystal()
    result = check_result(given, one(command(line), given))
    assert not result.converged and failure_class(result) == failure
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(result.error)


def test_hartree_that_calls_itself_ev_is_noticed() -> None:
    given = crystal()
    result = one(command(says(energy=-14.0 / ENERGY["Ha"], max_force=0.01)), given)
    assert "is it in hartree" in check_result(given, result, reference_energies={"Cu": -3.5}).error


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("escape", ["sh {} &", "setsid sh {} &", "(setsid sh {} &) &"], ids=["child", "session", "orphan"])
def test_the_time_limit_ends_the_whole_tree(tmp_path, escape: str) -> None:
    (tmp_path / "hang.sh").write_text(f"echo $$ > {tmp_path}/pid; exec sleep 1000")
    line = f"{escape.format(tmp_path / 'hang.sh')} echo waiting for a licence >&2; sleep 1000"
    begun = time.monotonic()
    result = one(command(line, time_limit=0.7))
    assert failure_class(result) == "transient" and "no answer within 0.7 s" in result.error and "waiting for a licence" in result.error
    assert time.monotonic() - begun < 30 and not is_running(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_nothing_is_left_when_the_command_ends_or_its_caller_is_killed(tmp_path) -> None:
    result = one(command(f"sleep 1000 & echo $! > {tmp_path}/child; {says(**GOOD)}"))
    assert result.converged and not is_running(int((tmp_path / "child").read_text()))
    code = f"""
from tests.campaign.test_command_oracle import command, one
one(command("(setsid sleep 1000 & echo $! > {tmp_path}/partial; mv {tmp_path}/partial {tmp_path}/pid) & wait; sleep 1000"))
"""
    caller = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    assert until((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    assert is_running(pid)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    assert until(lambda: not is_running(pid))


@pytest.mark.parametrize(("keep", "kept"), [("never", 0), ("failed", 1), ("always", 2)])
def test_folders_go_or_stay_by_policy(tmp_path, keep: str, kept: int) -> None:
    scratch = Scratch(keep, str(tmp_path / "kept"))
    one(command(says(**GOOD), scratch=scratch))
    one(command("echo words >&2; exit 3", scratch=scratch))
    folders = list((tmp_path / "kept").iterdir())
    assert len(folders) == kept and all((f / "crystal.json").exists() and (f / "stderr").exists() for f in folders)


def test_ideal_sites_are_said_and_need_no_small_force() -> None:
    atoms = bulk("Cu", cubic=True, a=3.7)
    atoms.symbols[0] = "Au"
    atoms.positions[0] += 0.1
    given = from_ase(atoms)
    oracle = Emt(Recipe(ideal=True, gives=("elastic",)))
    (result,) = oracle.measure([given], elastic=True, frames=True)
    assert oracle.max_force is None and check_result(given, result, elastic=True, max_force=None) is result and result.frames is None
    assert result.evidence["relaxed"] == 0.0 and result.evidence["max_force"] > 0.5 and result.evidence["max_displacement"] < 1e-9
    assert not check_result(given, result).converged


def test_settings_that_make_no_sense_are_refused() -> None:
    for settings, message in (
        ({"command": " "}, "command is empty"),
        ({"known": ()}, "known is empty"),
        ({"task": "relax"}, "task is 'relax'; allowed: measure, evaluate"),
        ({"time_limit": -1.0}, "time_limit is -1.0 s"),
    ):
        with pytest.raises(ValueError, match=message):
            Command(**{"command": "true", "known": KNOWN} | settings)
    with pytest.raises(ValueError, match="keep is 'failed', but folder is empty"):
        Scratch("failed")
    with pytest.raises(ValueError, match="keep is 'sometimes'; allowed: never, failed, always"):
        Scratch("sometimes")
    with pytest.raises(ValueError, match="gives holds forces; allowed: elastic, frames"):
        Recipe(gives=("forces",))
    oracle = Command("true", ("Cu",), scratch=Scratch("failed", "kept"), release="2")
    assert from_toml(to_toml(oracle, Command | Emt), Command | Emt) == oracle and oracle.version == "2" and oracle.name == "command true"
    assert "programming: command true does not know Al" in one(oracle, crystal("Al")).error
