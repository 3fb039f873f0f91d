"""G(T) - H(298.15 K) of metals from a universal potential, and transition temperatures from assessed Gibbs energies.

Per element: the potential's energies of the stable lattice at eleven volumes (and c/a for hcp), elastic constants; a free energy each:
Debye-Grueneisen with the Debye temperature from the bulk modulus alone (metals only) or from bulk and shear modulus, and for Fe and Ni with
magnetic disorder above the ferromagnet (critical temperature and moment as in SGTE's tables, which is all that is taken from outside).
Electronic excitations are left out, since a potential knows no density of states. Compared with the SGTE unary in databases that ship with
pycalphad. Transition temperatures follow from the same databases through `matjax.thermo.calphad`, compared with Dinsdale's table.

    python experiments/thermodynamics/elements.py --quick --json
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pycalphad
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers
from jax.tree_util import Partial

from matjax.data.convert import from_ase
from matjax.simulate.elastic import VOIGT
from matjax.thermo.calphad.system import energy, moles
from matjax.thermo.calphad.tdb import read_tdb
from matjax.thermo.elasticity.moduli import born, hill
from matjax.thermo.free_energy.coexistence import REASONS, coexistence_temperature
from matjax.thermo.free_energy.equation_of_state import EquationOfState, fit_equation_of_state
from matjax.thermo.free_energy.gruneisen import debye_gruneisen, debye_gruneisen_from_bulk
from matjax.thermo.free_energy.parts import MagneticDisorder
from matjax.thermo.free_energy.phase import Phase
from matjax.thermo.free_energy.properties import properties, why_not
from matjax.training.pretrained import potential
from matjax.types import Crystal
from matjax.units import ENERGY, PRESSURE

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parents[2] / "shared" / "data" / "nequix"
RESULT = HERE / "results" / "elements.json"
DATABASES = Path(pycalphad.__file__).parent / "tests" / "databases"
KJ, GPA = 1 / ENERGY["kJ/mol"], 1 / PRESSURE["GPa"]
TEMPERATURES = (298.15, 500.0, 800.0)
STRETCHES = np.linspace(0.92, 1.12, 11)
STEP = 0.01  # of strains, and of displacements in Å

LATTICES = {"fcc": "FCC_A1", "bcc": "BCC_A2", "hcp": "HCP_A3"}
ELEMENTS = {
    **dict.fromkeys(("Al", "Cu", "Ni"), "fcc"),
    **dict.fromkeys(("Mg", "Ti", "Zr"), "hcp"),
    **dict.fromkeys(("V", "Nb", "Mo", "Cr", "Fe"), "bcc"),
}
MAGNETS = {"Fe": MagneticDisorder(1043.0, 2.22, 0.40), "Ni": MagneticDisorder(633.0, 0.52, 0.28)}
TRANSITIONS = (
    # element, first, second, range in K, Dinsdale (1991), SGTE data for pure elements, CALPHAD 15, 317
    ("Ti", "HCP_A3", "BCC_A2", (900, 1400), 1155.0),
    ("Ti", "BCC_A2", "LIQUID", (1700, 2200), 1941.0),
    ("Zr", "HCP_A3", "BCC_A2", (900, 1400), 1139.0),
    ("Zr", "BCC_A2", "LIQUID", (1900, 2400), 2128.0),
    ("Fe", "BCC_A2", "FCC_A1", (1000, 1400), 1184.8),
    ("Fe", "FCC_A1", "BCC_A2", (1500, 1750), 1667.5),
    ("Fe", "BCC_A2", "LIQUID", (1700, 1900), 1811.0),
    ("Al", "FCC_A1", "LIQUID", (800, 1100), 933.47),
    ("Cu", "FCC_A1", "LIQUID", (1200, 1500), 1357.77),
    ("Ni", "FCC_A1", "LIQUID", (1500, 2000), 1728.0),
    ("Mg", "HCP_A3", "LIQUID", (800, 1100), 923.0),
    ("V", "BCC_A2", "LIQUID", (2000, 2400), 2183.0),
    ("Cr", "BCC_A2", "LIQUID", (2000, 2400), 2180.0),
    ("Nb", "BCC_A2", "LIQUID", (2500, 3000), 2750.0),
    ("Mo", "BCC_A2", "LIQUID", (2700, 3100), 2896.0),
)


@functools.cache
def assessed(symbol: str) -> dict[str, Partial]:
    """(temperature, pressure) -> G - H_SER in eV/atom of each of an element's phases, as COST507 has them; NaN beyond its ranges."""
    known = read_tdb(DATABASES / "COST507.tdb", [symbol.upper(), "VA"], [*LATTICES.values(), "LIQUID"])
    found = {}
    for row, phase in enumerate(known.phases):
        names = [(name, len(sublattice)) for sublattice in known.constituents[row] for name in sublattice]
        y = np.zeros(known.system.sublattice.shape[1])
        y[: len(names)] = [name.capitalize() == symbol or n == 1 for name, n in names]
        found[phase] = Partial(_per_atom, known.system, row, y)
    return found


def _per_atom(system: Any, row: int, y: np.ndarray, temperature: jax.Array, pressure: jax.Array) -> jax.Array:
    y = jnp.asarray(y, jnp.float64)
    return energy(system, row, y, temperature) / jnp.sum(moles(system, row, y))


def transitions(wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    """Transition temperatures of the elements wanted."""
    rows = []
    for symbol, first, second, (low, high), reference in TRANSITIONS:
        if symbol in wanted:
            found = coexistence_temperature(assessed(symbol)[first], assessed(symbol)[second], low, high)
            row = {"element": symbol, "from": first, "to": second, "reference_k": reference, "note": REASONS[int(found.status)]}
            row |= {"temperature_k": float(found.temperature), "error_k": float(found.temperature) - reference}
            rows.append(row | {"enthalpy_kj_mol": KJ * float(found.enthalpy)})
    return rows


def reference(symbol: str) -> list[float]:
    """SGTE's G(T) - H(298.15 K), kJ/mol."""
    gibbs = assessed(symbol)[LATTICES[ELEMENTS[symbol]]]
    with jax.enable_x64(True):
        return [KJ * float(_evaluated(gibbs, t)) for t in TEMPERATURES]


@jax.jit
def _evaluated(gibbs: Partial, temperature: float) -> jax.Array:
    return gibbs(temperature, 0.0)


def axial_ratio(symbol: str, known: Any) -> float | None:
    """c/a of the potential, from a parabola through seven; None for cubic lattices."""
    if ELEMENTS[symbol] != "hcp":
        return None
    atoms = bulk(symbol, "hcp")
    volume, ratios = atoms.get_volume(), atoms.cell.cellpar()[2] / atoms.cell.cellpar()[0] * np.linspace(0.97, 1.03, 7)
    energies = known([cell(symbol, volume, ratio) for ratio in ratios]).mean
    return float(-np.divide(*np.polyfit(ratios, energies, 2)[1::-1]) / 2)


def cell(symbol: str, volume: float, ratio: float | None) -> Crystal:
    """The element's primitive cell at a volume, Å³, and c/a."""
    atoms = bulk(symbol, ELEMENTS[symbol]) if ratio is None else bulk(symbol, "hcp", a=3.0, c=3.0 * ratio)
    atoms.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    return from_ase(atoms)


def curve_of(symbol: str, known: Any, ratio: float | None) -> EquationOfState:
    """Its equation of state per atom, at fixed c/a."""
    atoms = bulk(symbol, ELEMENTS[symbol])
    volumes = atoms.get_volume() * STRETCHES
    energies = known([cell(symbol, volume, ratio) for volume in volumes]).mean
    return jax.tree.map(float, fit_equation_of_state(volumes / len(atoms), energies))


def stiffness(crystal: Crystal, known: Any) -> np.ndarray:
    """Elastic constants [6, 6], eV/Å³, by central differences of stress and forces; the second atom of hcp follows the strain."""
    strains, moves = [], []
    for sign in (STEP, -STEP):
        for i, j in VOIGT:
            deformation = np.eye(3)
            deformation[i, j] += sign / 2
            deformation[j, i] += sign / 2
            strains.append(dataclasses.replace(crystal, lattice=crystal.lattice @ deformation, positions=crystal.positions @ deformation))
        for axis in np.eye(3) if len(crystal) > 1 else ():
            moves.append(dataclasses.replace(crystal, positions=crystal.positions + sign * np.outer(np.arange(len(crystal)), axis)))
    said = known([*strains, *moves], derivatives=("forces", "stress"))
    stress, forces = said.stress[0], said.forces[0].reshape(len(strains) + len(moves), len(crystal), 3)
    slope = lambda values: (values[: len(values) // 2] - values[len(values) // 2 :]) / (2 * STEP)
    clamped = slope(np.array([[one[i, j] for i, j in VOIGT] for one in stress[:12]]))
    if moves:
        push, springs = slope(forces[:12, 1]), slope(forces[12:, 1])
        clamped = clamped + push @ np.linalg.solve(springs, push.T) / abs(np.linalg.det(crystal.lattice))  # springs are -K
    return (clamped + clamped.T) / 2


def methods(symbol: str, known: Any, has_shear: bool) -> tuple[dict[str, Phase], dict[str, Any]]:
    """The element's free energies by method, and what they are made of."""
    ratio = axial_ratio(symbol, known)
    curve = curve_of(symbol, known, ratio)
    mass, has_moments = float(atomic_masses[atomic_numbers[symbol]]), True
    facts = {"volume": curve.volume, "c/a": ratio, "bulk_gpa": GPA * curve.bulk, "bulk_derivative": curve.bulk_derivative}
    phases = {"bulk modulus alone": Phase(static=curve, vibrational=debye_gruneisen_from_bulk(curve, mass), has_moments=has_moments)}
    if not has_shear:
        return phases, facts
    constants = stiffness(cell(symbol, curve.volume * len(bulk(symbol, ELEMENTS[symbol])), ratio), known)
    if float(born(constants)) <= 0:
        return phases, facts | {"note": "no shear modulus: the lattice gives way to a strain"}
    shear = float(hill(constants)[1])
    for name, rule in (("bulk and shear modulus", "slater"), ("the same, Dugdale-MacDonald", "dugdale_macdonald")):
        phases[name] = Phase(static=curve, vibrational=debye_gruneisen(curve, shear, mass, rule), has_moments=has_moments)
    if symbol in MAGNETS:
        vibrational = phases["bulk and shear modulus"].vibrational
        phases["the same, magnetic"] = Phase(static=curve, vibrational=vibrational, magnetic=MAGNETS[symbol], has_moments=has_moments)
    facts |= {"shear_gpa": GPA * shear, "theta_k": float(phases["bulk and shear modulus"].vibrational.theta)}
    return phases, facts


def element(symbol: str, known: Any, has_shear: bool = True) -> dict[str, Any]:
    """One row: what the potential says, what is known, errors in kJ/mol."""
    begun = time.perf_counter()
    row: dict[str, Any] = {"element": symbol, "lattice": ELEMENTS[symbol], "reference_kj_mol": reference(symbol), "methods": {}}
    phases, facts = methods(symbol, known, has_shear)
    for name, phase in phases.items():
        found = properties(phase, np.array(TEMPERATURES))
        gibbs, enthalpy = np.asarray(found.gibbs_energy), float(np.asarray(found.enthalpy)[0])
        said = KJ * (gibbs - enthalpy)
        at_room = {"entropy": 1000 * KJ * np.asarray(found.entropy)[0], "heat_capacity": 1000 * KJ * np.asarray(found.heat_capacity)[0]}
        at_room |= {"expansion": 1e6 * np.asarray(found.expansion)[0], "volume": np.asarray(found.volume)[0]}
        row["methods"][name] = {
            "kj_mol": said.tolist(),
            "error_kj_mol": (said - row["reference_kj_mol"]).tolist(),
            "at_298": {key: float(value) for key, value in at_room.items()},
            "note": "; ".join(why_not(phase, t) for t, g in zip(TEMPERATURES, gibbs, strict=True) if not np.isfinite(g)),
        }
    return row | facts | {"seconds": time.perf_counter() - begun}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean absolute and mean error of each method over the elements that it has an answer for, kJ/mol, and how many those are."""
    found = {}
    for name in sorted({name for row in rows for name in row["methods"]}):
        errors = np.array([row["methods"][name]["error_kj_mol"] for row in rows if name in row["methods"]])
        n = np.isfinite(errors).sum(0)
        found[name] = {"n": n.tolist(), "mae_kj_mol": np.nanmean(np.abs(errors), 0).tolist(), "bias_kj_mol": np.nanmean(errors, 0).tolist()}
    return found


def main() -> None:
    """Writes results/elements.json, element by element; a second run goes on where the first one stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nequix-oam-1-pft", help="name of a potential")
    parser.add_argument("--quick", action="store_true", help="three elements, nothing written")
    parser.add_argument("--smoke", action="store_true", help="one element without its shear modulus, one transition, nothing written")
    parser.add_argument("--json", action="store_true", help="print the result")
    chosen = parser.parse_args()
    wanted = ("Al",) if chosen.smoke else ("Al", "Fe", "Mg") if chosen.quick else tuple(ELEMENTS)
    keeps = not (chosen.smoke or chosen.quick)
    result: dict[str, Any] = {"model": chosen.model, "temperatures_k": TEMPERATURES, "rows": []}
    if keeps and RESULT.exists() and (before := json.loads(RESULT.read_text()))["model"] == chosen.model:
        result["rows"] = before["rows"]
    done = {row["element"] for row in result["rows"]}
    try:
        known = potential(chosen.model, folder=WEIGHTS if WEIGHTS.exists() else None)
    except (OSError, ValueError) as error:
        known, result["skipped"] = None, f"the potential is not here: {error}"
    for symbol in wanted:
        if known is not None and symbol not in done:
            result["rows"].append(element(symbol, known, has_shear=not chosen.smoke))
            if keeps:
                RESULT.parent.mkdir(exist_ok=True)
                RESULT.write_text(json.dumps(result, indent=1) + "\n")
    result |= {"summary": summary(result["rows"]), "transitions": transitions(wanted)}
    if keeps:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1) if chosen.json else text(result))


def text(result: dict[str, Any]) -> str:
    """For people."""
    lines = [f"errors of G(T) - H(298.15 K), kJ/mol, at {', '.join(f'{t:g}' for t in TEMPERATURES)} K"]
    for row in result["rows"]:
        for name, said in row["methods"].items():
            lines.append(
                f"{row['element']:3s}{name:30s}" + "".join(f"{error:9.2f}" for error in said["error_kj_mol"]) + f"  {said['note']}"
            )
    lines += [f"MAE {name:30s}" + "".join(f"{e:9.2f}" for e in said["mae_kj_mol"]) for name, said in result["summary"].items()]
    lines += ["transition temperatures, K"]
    for row in result["transitions"]:
        lines.append(
            f"{row['element']:3s}{row['from']:>8s} -> {row['to']:8s}{row['temperature_k']:9.2f}{row['error_k']:8.2f}  {row['note']}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
