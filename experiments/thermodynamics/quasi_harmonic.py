"""Quasi-harmonic copper and aluminium: matjax against phonopy, each with its own force constants, on ASE's EMT and the embedded EAM.

Per metal and potential one JSON object: harmonic entropy, expansion, Cp, bulk modulus and G(T) of both, their relative differences, and
processor seconds for force constants, mesh and everything after it. phonopy fits a Vinet curve to F(V) at each temperature; matjax
minimises one free energy whose mode frequencies are polynomials in ln V. Force constants of the EAM are Hessian-vector products in matjax
and finite differences in phonopy.

    python experiments/thermodynamics/quasi_harmonic.py --json
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import ase
import jax
import numpy as np
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from matjax.data.convert import from_ase
from matjax.simulate import cutoffs, eam_energy, topology
from matjax.simulate.phonons import force_constants_by_displacement, force_constants_of_energy, modes
from matjax.thermo.free_energy.equation_of_state import fit_equation_of_state
from matjax.thermo.free_energy.harmonic import harmonic
from matjax.thermo.free_energy.phase import Phase
from matjax.thermo.free_energy.properties import properties
from matjax.thermo.free_energy.quasi_harmonic import quasi_harmonic
from matjax.units import ENERGY, PRESSURE

RESULT = Path(__file__).resolve().parent / "results" / "quasi_harmonic.json"
JOULE, GPA = 1e3 / ENERGY["kJ/mol"], 1 / PRESSURE["GPa"]
TEMPERATURES = np.arange(0.0, 831.0, 10.0)
CASES = {("Cu", "EMT"): (3.53, 3.72), ("Al", "EMT"): (3.95, 4.07), ("Ni", "EMT"): (3.44, 3.6), ("Cu", "EAM"): (3.58, 3.68)}
"""Lattice constants between which the volumes lie, Å: where all modes are real, as those of the expanded EAM crystals are not."""


class Embedded(Calculator):
    """The embedded EAM behind ASE's interface, in float64."""

    implemented_properties = ["energy", "forces"]
    _energy_and_gradient = staticmethod(jax.jit(jax.value_and_grad(eam_energy)))

    def calculate(self, atoms: ase.Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        """Called by ASE."""
        super().calculate(atoms, properties, system_changes)
        crystal = from_ase(self.atoms)
        with jax.enable_x64(True):
            energy, gradient = self._energy_and_gradient(crystal.positions, crystal.lattice, topology(crystal, cutoffs()))
        self.results = {"energy": float(energy), "forces": -np.asarray(gradient)}


def cells(symbol: str, name: str, n_volume: int) -> list[ase.Atoms]:
    """The primitive cell at each volume, with its calculator."""
    made = [bulk(symbol, "fcc", a) for a in np.linspace(*CASES[symbol, name], n_volume)]
    for atoms in made:
        atoms.calc = EMT() if name == "EMT" else Embedded()
    return made


def ours(given: list[ase.Atoms], name: str, repeat: int, mesh: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Properties over TEMPERATURES from 0 K (shifted by 1 K, since phonopy's heat capacities start there) and processor seconds."""
    crystals, matrix, start = [from_ase(atoms) for atoms in given], repeat * np.eye(3, dtype=int), time.process_time()
    if name == "EMT":
        known = [force_constants_by_displacement(EMT(), crystal, matrix) for crystal in crystals]
    else:
        known = [force_constants_of_energy(eam_energy, crystal, matrix, cutoffs()) for crystal in crystals]
    forces = time.process_time()
    found = [modes(one, crystal, (mesh, mesh, mesh)) for one, crystal in zip(known, crystals, strict=True)]
    spectra = time.process_time()
    volumes = np.array([crystal.volume for crystal in crystals])
    static = fit_equation_of_state(volumes, np.array([atoms.get_potential_energy() for atoms in given]), "vinet")
    vibrational = quasi_harmonic(volumes, np.stack([one.frequencies for one in found]), found[0].weights)
    said = properties(Phase(static=static, vibrational=vibrational), TEMPERATURES[1:])
    middle = found[len(found) // 2]
    fixed = properties(Phase(vibrational=harmonic(middle.frequencies, middle.weights)), TEMPERATURES[1:])
    names = {"entropy_v": JOULE * fixed.entropy, "cp": JOULE * said.heat_capacity, "expansion": said.expansion}
    names |= {"bulk_modulus": GPA * said.bulk_modulus, "gibbs": JOULE / 1e3 * said.gibbs_energy}
    seconds = {"forces": forces - start, "mesh": spectra - forces, "rest": time.process_time() - spectra}
    return {key: np.asarray(value) for key, value in names.items()}, seconds


def theirs(given: list[ase.Atoms], repeat: int, mesh: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The same by phonopy."""
    from phonopy import Phonopy, PhonopyQHA
    from phonopy.structure.atoms import PhonopyAtoms

    start, thermal, seconds = time.process_time(), [], {"forces": 0.0, "mesh": 0.0}
    for atoms in given:
        start = time.process_time()
        cell = PhonopyAtoms(symbols=atoms.get_chemical_symbols(), cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions())
        phonon = Phonopy(cell, supercell_matrix=repeat * np.eye(3, dtype=int), primitive_matrix=np.eye(3))
        phonon.generate_displacements(distance=0.01)
        phonon.forces = [_forces(displaced, atoms.calc) for displaced in phonon.supercells_with_displacements]
        phonon.produce_force_constants()
        forces = time.process_time()
        phonon.run_mesh([mesh, mesh, mesh])
        phonon.run_thermal_properties(t_min=0, t_max=TEMPERATURES[-1] + 20, t_step=10)
        found = phonon.thermal_properties
        thermal.append({name: np.array(getattr(found, name)) for name in ("temperatures", "free_energy", "heat_capacity", "entropy")})
        seconds["forces"] += forces - start
        seconds["mesh"] += time.process_time() - forces
    start = time.process_time()
    stacked = {key: np.array([one[key] for one in thermal]).T for key in ("free_energy", "heat_capacity", "entropy")}
    qha = PhonopyQHA(
        volumes=[atoms.get_volume() for atoms in given],
        electronic_energies=[atoms.get_potential_energy() for atoms in given],
        temperatures=thermal[0]["temperatures"],
        free_energy=stacked["free_energy"],
        cv=stacked["heat_capacity"],
        entropy=stacked["entropy"],
        eos="vinet",
        t_max=TEMPERATURES[-1],
    )
    seconds["rest"] = time.process_time() - start
    at = slice(1, len(TEMPERATURES))
    names = {"entropy_v": stacked["entropy"][at, len(given) // 2], "cp": np.array(qha.heat_capacity_P_numerical)[at]}
    names |= {"expansion": np.array(qha.thermal_expansion)[at], "bulk_modulus": np.array(qha.bulk_modulus_temperature)[at]}
    return names | {"gibbs": np.array(qha.gibbs_temperature)[at] * JOULE / 1e3}, seconds


def _forces(displaced: Any, calculator: Any) -> np.ndarray:
    atoms = ase.Atoms(displaced.symbols, cell=displaced.cell, scaled_positions=displaced.scaled_positions, pbc=True, calculator=calculator)
    return np.array(atoms.get_forces())


def compare(symbol: str, name: str, n_volume: int, repeat: int, mesh: int) -> dict[str, Any]:
    """Figures of both at 300 K, and the largest relative difference from 100 to 800 K."""
    given = cells(symbol, name, n_volume)
    (a, seconds), (b, other) = ours(given, name, repeat, mesh), theirs(given, repeat, mesh)
    room, low, high = (int(round(t / 10)) - 1 for t in (300, 100, 800))
    known = np.isfinite(a["cp"][:high])  # up to where the crystal stays within the volumes
    row: dict[str, Any] = {"metal": symbol, "potential": name, "n_volume": n_volume, "supercell": repeat, "mesh": mesh}
    for key, digits in {"entropy_v": 3, "cp": 3, "expansion": 8, "bulk_modulus": 2}.items():
        row[f"{key}_300"] = [round(float(a[key][room]), digits), round(float(b[key][room]), digits)]
        span = slice(low, low + int(np.argmin(known[low:])) if not known[low:].all() else len(known))
        row[f"{key}_difference"] = float(np.abs(a[key][span] / b[key][span] - 1).max())
    row["gibbs_800_less_300"] = [round(float(x["gibbs"][high] - x["gibbs"][room]), 4) for x in (a, b)]
    row["highest_temperature"] = float(TEMPERATURES[1:][:high][known].max())
    return row | {"cpu_s": {k: round(v, 2) for k, v in seconds.items()}, "phonopy_cpu_s": {k: round(v, 2) for k, v in other.items()}}


def main() -> None:
    """Prints one row per case; without --quick and --smoke also writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="copper on EMT and EAM only")
    parser.add_argument("--smoke", action="store_true", help="copper on EMT, few volumes and wave vectors")
    parser.add_argument("--json", action="store_true", help="one JSON object in all")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*phonopy|.*Phonopy")
    n_volume, repeat, mesh = (5, 2, 8) if chosen.smoke else (7, 4, 20)
    cases = list(CASES)[:1] if chosen.smoke else [case for case in CASES if case[0] == "Cu"] if chosen.quick else list(CASES)
    rows = []
    for symbol, name in cases:
        rows.append(compare(symbol, name, n_volume, repeat, mesh))
        if not chosen.json:
            print(json.dumps(rows[-1]), flush=True)
    result = {
        "rows": rows,
        "units": "J/mol/K, 1/K, GPa, kJ/mol per atom; [matjax, phonopy]; relative differences from 100 K up",
    }
    if not (chosen.quick or chosen.smoke):
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    if chosen.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
