"""Formation Gibbs energies of compounds against NIST-JANAF: phonons of a universal potential beside the published descriptor.

dfG(T) = dfH(298.15 K), JANAF's, + [G(T) - H(298.15 K)] of the compound, by each method, - that of its elements, JANAF's. Nothing else of
the compound is taken from JANAF: neither entropy nor heat capacity, and nothing is fitted. The compounds are those formulas that are
crystalline in JANAF and in the Materials Project. Rows are resumed by compound; `--quick` scores ten compounds whose rows are there.

    python experiments/thermodynamics/nist_janaf.py --json
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _janaf_crystals import CRYSTALS, SHARED, TEMPERATURES, Compound, compounds, element_gibbs, elements_gibbs, elements_gibbs_published
from _janaf_models import METHODS, Answer
from _janaf_phonons import relaxed, static, vibrations
from ase.build import bulk

from matjax.data.convert import from_ase
from matjax.training.pretrained import potential
from matjax.types import Crystal

RESULTS = Path(__file__).resolve().parent / "results"
PUBLISHED = {300.0: 0.013, 600.0: 0.028, 900.0: 0.045, 1200.0: 0.064}
"""Mean absolute error of the descriptor on these compounds as published tables of the elements give it, eV/atom."""
N_BOOTSTRAP = 10_000
TRANSITIONS = {
    "Al": 933, "Be": 1527, "Ca": 716, "Cr": 2130, "Cu": 1358, "Li": 453, "Mg": 923, "Mo": 2896, "Nb": 2750, "Ni": 1728, "Pb": 600,
    "Si": 1685, "Sr": 820, "Ta": 3258, "Ti": 1166, "V": 2190, "W": 3680, "Zn": 693, "Zr": 1135,
}  # fmt: skip
"""Elements whose stable crystal is one of fcc, bcc, hcp and diamond, and up to where, K."""


def at_rest(model: Any, chosen: list[Compound], file: Path) -> dict[str, dict[str, Any]]:
    """Relaxed crystals by material; what is not there yet is relaxed side by side."""
    known = json.loads(file.read_text()) if file.exists() else {}
    todo = [c for c in chosen if c.material not in known]
    for compound, result in zip(todo, relaxed(model, [c.crystal for c in todo]) if todo else [], strict=True):
        known[compound.material] = {"status": result.status, "error": result.error}
        if result.crystal is not None:
            arrays = {name: np.round(getattr(result.crystal, name), 7).tolist() for name in ("lattice", "positions", "numbers")}
            known[compound.material] |= arrays
    if todo:
        file.write_text(json.dumps(known) + "\n")
    return known


def calculate(chosen: list[Compound], rest: Path, rows: Path) -> None:
    """Adds the rows that are missing, one line each."""
    done = set(stored(rows))
    todo = [c for c in chosen if c.material not in done]
    if not todo:
        return
    model = potential("nequix-oam-1-pft", folder=SHARED / "nequix")
    known, begun = at_rest(model, todo, rest), time.perf_counter()
    for i, compound in enumerate(todo):
        row = {"formula": compound.formula, "material": compound.material} | _row(model, known[compound.material])
        with rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        left = (time.perf_counter() - begun) / (i + 1) * (len(todo) - i - 1)
        print(f"{i + 1}/{len(todo)} {compound.formula} {row.get('error', '')}, {left / 60:.0f} min left", file=sys.stderr, flush=True)


def _row(model: Any, rest: dict[str, Any]) -> dict[str, Any]:
    """What the potential says of a relaxed crystal; a failure is a row that says why."""
    if "lattice" not in rest:
        return {"error": rest["error"]}
    crystal = Crystal(*(np.array(rest[name]) for name in ("lattice", "positions", "numbers")))
    try:
        found = vibrations(model, crystal) | static(model, crystal)
    except ValueError as error:
        return {"error": str(error)}
    return {"status": rest["status"], "volume_per_atom": crystal.volume / len(crystal)} | found


def stored(rows: Path) -> dict[str, dict[str, Any]]:
    """Rows by material."""
    return {row["material"]: row for row in map(json.loads, rows.read_text().splitlines())} if rows.exists() else {}


def score(chosen: list[Compound], rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Errors of every method on the compounds that have a row; a compound without one is a failure."""
    having = [c for c in chosen if c.material in rows and "error" not in rows[c.material]]
    truth = np.array([[c.gibbs.get(t, np.nan) for t in TEMPERATURES] for c in having])
    enthalpy = np.array([c.enthalpy for c in having])[:, None]
    elements = np.array([elements_gibbs(c.formula) for c in having])
    answers: dict[str, list[Answer]] = {name: [method(c, rows[c.material]) for c in having] for name, method in METHODS.items()}
    errors = {name: enthalpy + np.array([a.values for a in said]) - elements - truth for name, said in answers.items()}
    published = np.array([elements_gibbs_published(c.formula) for c in having])
    errors["descriptor, published tables of elements"] = errors["descriptor"] + elements - published
    errors["enthalpy alone"] = enthalpy - truth
    keys = [str(int(t)) for t in TEMPERATURES]
    by_temperature = lambda values: dict(zip(keys, (round(float(v), 4) for v in values), strict=True))
    notes = {c.formula: answer.note for c, answer in zip(having, answers["phonons"], strict=True) if answer.note}
    return {
        "n_compound": len(chosen),
        "n_scored": len(having),
        "failed": {c.formula: rows.get(c.material, {}).get("error", "not calculated yet") for c in chosen if c not in having},
        "n_points": by_temperature(np.isfinite(truth).sum(0)),
        "mae_ev_atom": {name: by_temperature(np.nanmean(np.abs(error), 0)) for name, error in errors.items()},
        "median_abs_error_ev_atom": {name: by_temperature(np.nanmedian(np.abs(error), 0)) for name, error in errors.items()},
        "bias_ev_atom": {name: by_temperature(np.nanmean(error, 0)) for name, error in errors.items()},
        "published_descriptor_mae_ev_atom": by_temperature(PUBLISHED.values()),
        "phonons_less_descriptor_95": dict(zip(keys, paired(errors["phonons"], errors["descriptor"]), strict=True)),
        "flagged": notes,
        "error_at_900_ev_atom": {
            c.formula: [round(float(errors[name][i, 2]), 4) for name in ("phonons", "descriptor")] for i, c in enumerate(having)
        },
    }


def paired(first: np.ndarray, second: np.ndarray) -> list[list[float]]:
    """Interval (2.5%, 97.5%) of the mean difference of absolute errors at each temperature, compounds drawn with replacement."""
    random, found = np.random.default_rng(0), []
    for column in (np.abs(first) - np.abs(second)).T:
        column = column[np.isfinite(column)]
        means = column[random.integers(0, len(column), (N_BOOTSTRAP, len(column)))].mean(1)
        found.append([round(float(v), 4) for v in np.quantile(means, (0.025, 0.975))])
    return found


def elements(rest: Path, rows: Path) -> dict[str, Any]:
    """The methods on crystals of elements, on which their form is decided: G(T) - H(298.15 K) below the first transition, against JANAF."""
    chosen = [Compound(s, "", f"element {s}", from_ase(bulk(s)), 0.0, {}) for s in TRANSITIONS]
    calculate(chosen, rest, rows)
    known = stored(rows)
    truth = np.array([element_gibbs(c.formula) for c in chosen])
    truth[np.array([[t > TRANSITIONS[c.formula] for t in TEMPERATURES] for c in chosen])] = np.nan
    names = [name for name in METHODS if name not in ("descriptor", "neumann-kopp")]
    found: dict[str, Any] = {"n_points": np.isfinite(truth).sum(0).tolist()}
    for name in names:
        error = np.array([METHODS[name](c, known[c.material]).values for c in chosen]) - truth
        found[name] = {"mae": np.nanmean(np.abs(error), 0).round(4).tolist(), "bias": np.nanmean(error, 0).round(4).tolist()}
        found[name]["errors"] = {c.formula: row.round(4).tolist() for c, row in zip(chosen, error, strict=True)}
    return found


def main() -> None:
    """Calculates what is missing, scores what is there, writes result files beside this one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="score ten compounds whose rows are there; nothing is calculated or written")
    parser.add_argument("--smoke", action="store_true", help="the same: does it run?")
    parser.add_argument("--score", action="store_true", help="score the rows that are there, calculate none")
    parser.add_argument("--elements", action="store_true", help="the methods on elements instead")
    parser.add_argument("--n", type=int, help="only the n smallest crystals")
    parser.add_argument("--json", action="store_true", help="print the whole result")
    chosen = parser.parse_args()
    rest, rows = RESULTS / "janaf_crystals.json", RESULTS / "janaf_rows.jsonl"
    if not CRYSTALS.exists():
        print(json.dumps({"skipped": f"{CRYSTALS} is not here"}))
        return
    if importlib.util.find_spec("janaf") is None:
        print(json.dumps({"skipped": "the tables are in the package janaf: pip install 'matjax[janaf]'"}))
        return
    if chosen.elements:
        found = elements(rest, rows)
        (RESULTS / "janaf_elements.json").write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(found))
        return
    wanted = compounds()[: chosen.n]
    if chosen.quick or chosen.smoke:
        wanted = [c for c in wanted if c.material in stored(rows)][:10]
        if not wanted:
            print(json.dumps({"skipped": f"{rows} has no rows yet: run without --quick and --smoke first"}))
            return
    elif not chosen.score:
        calculate(wanted, rest, rows)
    result = score(wanted, stored(rows))
    if not (chosen.quick or chosen.smoke or chosen.n):
        (RESULTS / "janaf.json").write_text(json.dumps(result, indent=1) + "\n")
    print(
        json.dumps(result if chosen.json else {k: result[k] for k in ("n_scored", "mae_ev_atom", "phonons_less_descriptor_95")}, indent=1)
    )


if __name__ == "__main__":
    main()
