"""Does training through the thermodynamic head help? A universal potential, fine-tuned on the measured free energies of metals.

G(T) - H(298.15 K) of metals by the Debye-Gruneisen model from the potential's energies over volume, against assessed values (SGTE's, as
pymatgen holds them; below four fifths of the melting point and below any change of lattice), on metals that were left out of the fit:
as the potential came, with one factor on every Debye temperature fitted on the training metals, and fine-tuned through the head. And
what the fine-tuning did to the potential's forces on Nb-Mo-Ta-W cells against density functional theory.

    python experiments/thermodynamics/calorimetry.py --json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ase.build import bulk
from scipy.optimize import minimize_scalar

from matjax.data.convert import from_ase
from matjax.data.read import read
from matjax.thermo.alloy.table import alloy_table
from matjax.thermo.free_energy.equation_of_state import fit_equation_of_state
from matjax.training.calorimetry import VOLUMES, Calorimetry, Curves, calorimetric_energies, member_variables, predict_calorimetry
from matjax.training.free_energy import FreeEnergyLoss, fit_free_energies
from matjax.training.optimizer import AdamW
from matjax.training.predictor import GraphPredictor
from matjax.training.pretrained import potential
from matjax.types import Crystal

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "data"
WEIGHTS, DFT, RESULT = SHARED / "nequix", SHARED / "nbmotaw" / "nbmotaw_pbe.extxyz.gz", HERE / "results" / "calorimetry.json"
TEMPERATURES = np.array([300.0, 400.0, 500.0, 600.0, 800.0, 1000.0])
N_FOLD = 4
METALS = {  # stable lattice, and the temperature (K) at which it changes below the melting point, if it does
    "Al": "fcc", "Cu": "fcc", "Ag": "fcc", "Au": "fcc", "Pd": "fcc", "Pt": "fcc", "Rh": "fcc", "Ir": "fcc", "Pb": "fcc",
    "V": "bcc", "Nb": "bcc", "Mo": "bcc", "Ta": "bcc", "W": "bcc", "Cr": "bcc",
    "Mg": "hcp", "Ti": "hcp", "Zr": "hcp", "Hf": "hcp", "Re": "hcp", "Ru": "hcp", "Os": "hcp", "Y": "hcp", "Sc": "hcp",
}  # fmt: skip
CHANGES = {"Ti": 1155.0, "Zr": 1139.0, "Hf": 2016.0, "Y": 1752.0, "Sc": 1608.0}


def at_rest(start: GraphPredictor, symbols: list[str]) -> tuple[Crystal, ...]:
    """Each metal at the volume at which the potential's energy is lowest, c/a of hcp as measured."""
    crystals = tuple(from_ase(bulk(symbol, METALS[symbol])) for symbol in symbols)
    curves = Curves.of(crystals, start, VOLUMES)
    energy = curves.energies(member_variables(start), start.model)[0]
    found = []
    for crystal, volumes, values, n_atom in zip(crystals, curves.volumes, energy, curves.n_atom, strict=True):
        scale = (float(fit_equation_of_state(volumes, values).volume) * n_atom / crystal.volume) ** (1 / 3)
        found.append(dataclasses.replace(crystal, lattice=crystal.lattice * scale, positions=crystal.positions * scale))
    return tuple(found)


def assessed(symbols: list[str]) -> np.ndarray:
    """G(T) - H(298.15 K), eV/atom [n, n_temperature]; NaN near and above the first change of phase."""
    table = json.loads((files("pymatgen.core") / "data" / "g_els.json").read_text())
    melting = alloy_table(symbols, missing="nan").melting
    limit = [min(0.8 * t, CHANGES.get(s, np.inf)) for s, t in zip(symbols, melting, strict=True)]
    return np.array([[table[f"{t:.0f}"][s] if t <= top else np.nan for t in TEMPERATURES] for s, top in zip(symbols, limit, strict=True)])


def error(said: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean absolute error in meV/atom: all, and by temperature."""
    off = 1e3 * np.abs(said - truth)
    return {"all": float(np.nanmean(off)), **{f"{t:.0f}": float(np.nanmean(off[:, k])) for k, t in enumerate(TEMPERATURES)}}


def one_factor(start: GraphPredictor, crystals: tuple[Crystal, ...], truth: np.ndarray, train: np.ndarray) -> tuple[float, np.ndarray]:
    """The factor on every Debye temperature that fits the training metals best, and what it makes of all of them."""
    curves = Curves.of(crystals, start, VOLUMES)
    energy = curves.energies(member_variables(start), start.model)[0]
    with jax.enable_x64(True):
        each = jax.jit(jax.vmap(calorimetric_energies, (0, 0, 0, None)))  # the temperature goes with the inverse root of the mass
        scaled = lambda factor: np.asarray(each(curves.volumes, np.asarray(energy, float), curves.mass / factor**2, TEMPERATURES))
        found = minimize_scalar(
            lambda f: np.nanmean(np.abs(scaled(f) - truth)[train]), bounds=(0.7, 1.4), method="bounded", options={"xatol": 1e-3}
        )
        return float(found.x), scaled(float(found.x))


def forces(predictor: GraphPredictor, n: int) -> dict[str, float]:
    """Mean absolute error of forces (meV/Å), and of energies after the median is taken off (meV/atom), on alloy cells."""
    data = read(DFT)
    rows = np.random.default_rng(0).permutation(np.flatnonzero([len(c) <= 16 for c in data.crystals]))[:n]
    cells = data.select(rows)
    said = predictor(cells.crystals, derivatives=("forces",))
    assert said.forces is not None
    off = said.mean - np.array([e / len(c) for e, c in zip(cells.labels["energy"], cells.crystals, strict=True)])
    x = np.array([[np.mean(c.numbers == z) for z in (23, 41, 42, 73, 74)] for c in cells.crystals])
    left = off - x @ np.linalg.lstsq(x, off, rcond=None)[0]  # other references of the elements
    wrong = np.abs(said.forces[0] - np.concatenate(cells.labels["forces"]))
    return {"forces_meV_per_A": 1e3 * float(wrong.mean()), "energy_meV_per_atom": 1e3 * float(np.abs(left).mean()), "n_cell": n}


def fold(k: int, start: GraphPredictor, symbols: list[str], given: argparse.Namespace) -> dict[str, Any]:
    """One row: the metals of a fold are predicted from the others."""
    crystals, truth = at_rest(start, symbols), assessed(symbols)
    test = np.random.default_rng(0).permutation(len(symbols)) % N_FOLD == k
    train = ~test
    data = Calorimetry(tuple(c for c, t in zip(crystals, train, strict=True) if t), TEMPERATURES, truth[train])
    told: list[dict[str, float]] = []
    after = fit_free_energies(
        start, data, loss=FreeEnergyLoss(), optimizer=AdamW(given.rate, weight_decay=0.0), n_step=given.steps, batch_size=8,
        report=told.append, key=jax.random.key(k),
    )  # fmt: skip
    before, tuned = (predict_calorimetry(p, crystals, TEMPERATURES)[0] for p in (start, after))
    factor, scaled = one_factor(start, crystals, truth, train)
    methods = {"as it came": before, "one factor": scaled, "trained through the head": tuned}
    row = {"fold": k, "left_out": [s for s, t in zip(symbols, test, strict=True) if t], "steps": given.steps, "rate": given.rate}
    row |= {"factor": factor, "first": told[0], "last": told[-1]}
    row["test"] = {name: error(said[test], truth[test]) for name, said in methods.items()}
    row["train"] = {name: error(said[train], truth[train]) for name, said in methods.items()}
    row["metals"] = {
        s: {n: 1e3 * float(np.nanmean(said[i] - truth[i])) for n, said in methods.items()} for i, s in enumerate(symbols) if test[i]
    }
    if DFT.exists() and not given.smoke:
        row["alloys"] = {"as it came": forces(start, 60), "trained through the head": forces(after, 60)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="updates per fold (%(default)s)")
    parser.add_argument("--rate", type=float, default=1e-4, help="peak step size (%(default)s)")
    parser.add_argument("--result", type=Path, default=RESULT, help="rows that are there are not computed again (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one fold, a few updates, nothing is kept")
    parser.add_argument("--smoke", action="store_true", help="four metals, two updates, nothing is kept")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    given = parser.parse_args()
    if not (WEIGHTS / "nequix-oam-1-pft.nqx").exists():
        print(json.dumps({"skipped": f"no weights in {WEIGHTS}; matjax.potential would download them"}))
        return
    start = potential("nequix-oam-1-pft", folder=WEIGHTS)
    if given.smoke or given.quick:
        given.steps = 2 if given.smoke else 5
        print(json.dumps(fold(0, start, ["Cu", "Al", "Nb", "Mg"] if given.smoke else [*METALS], given)))
        return
    rows = json.loads(given.result.read_text())["rows"] if given.result.exists() else []
    for k in range(N_FOLD):
        wanted = {"fold": k, "steps": given.steps, "rate": given.rate}
        if not any(wanted.items() <= row.items() for row in rows):
            rows.append(fold(k, start, [*METALS], given))
            given.result.parent.mkdir(exist_ok=True)
            given.result.write_text(json.dumps({"rows": rows}, indent=1))
    names = [*rows[0]["test"]]
    mean = {n: float(np.mean([abs(v) for row in rows for v in [m[n] for m in row["metals"].values()]])) for n in names}
    print(json.dumps({"mean_abs_error_of_left_out_metals_meV": mean, "rows": rows}) if given.json else json.dumps(mean, indent=1))


if __name__ == "__main__":
    main()
