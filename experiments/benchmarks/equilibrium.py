"""Phase equilibria from TDB files: matjax against pycalphad, on pycalphad's own databases, at the same points.

Prints one JSON object: `speedup_binary` (Al-Zn, a grid, as pycalphad is fastest), `speedup_quaternary` (Al-Co-Cr-Ni, 21 phases) and
`speedup_quinary` (Co-Cr-Fe-Nb-Ti, 9 phases) at random points, as ratios of processor time per point, warm on both sides;
`agree_fraction`, the share of points whose Gibbs energy is at most 1 J/mol above pycalphad's, over all points where pycalphad converges
(points that matjax leaves unsettled count as failures); `max_excess_j_mol`; and the raw figures of each system. Compiling is stated
apart. Run it on one core for a fair comparison:

    taskset -c 0 python experiments/benchmarks/equilibrium.py --json
"""

import argparse
import json
import os
import platform
import sys
import time
import warnings
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pycalphad  # noqa: E402
from pycalphad import Database, Workspace, equilibrium  # noqa: E402
from pycalphad import variables as v  # noqa: E402

from matjax.thermo.calphad import equilibria, read_tdb  # noqa: E402
from matjax.thermo.calphad.tdb import JOULE_PER_MOLE  # noqa: E402

FOLDER = Path(pycalphad.__file__).parent / "tests" / "databases"
QUINARY = ("LIQUID", "FCC_A1", "BCC_A2", "HCP_A3", "SIGMA", "LAVES_PHASE", "MU_PHASE", "CHI_A12", "BCC_B2")
SYSTEMS = {  # file, elements, phases, temperatures in K, points
    "Al-Zn": ("alzn_mey.tdb", ("AL", "ZN"), None, (320, 960), 1000),
    "Al-Co-Cr-Ni": ("alcocrni.tdb", ("AL", "CO", "CR", "NI"), None, (900, 1700), 200),
    "Co-Cr-Fe-Nb-Ti": ("mc_fecocrnbti.tdb", ("CO", "CR", "FE", "NB", "TI"), QUINARY, (1000, 1700), 200),
    "Al-Ni": ("alni_dupin_2001.tdb", ("AL", "NI"), None, (500, 1900), 1000),
    "Cu-Mg": ("cumg.tdb", ("CU", "MG"), None, (400, 1400), 1000),
}
HEADLINES = {"speedup_binary": "Al-Zn", "speedup_quaternary": "Al-Co-Cr-Ni", "speedup_quinary": "Co-Cr-Fe-Nb-Ti"}
QUICK = {"Al-Zn": 400, "Al-Co-Cr-Ni": 24}
SMOKE = {"Cu-Mg": 24}
ENOUGH, BOUNDARY = 1.0, 1e-3  # J/mol; phase fraction


def points(name: str, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Temperatures and atomic fractions: a grid for binaries, random for others."""
    _, elements, _, (low, high), _ = SYSTEMS[name]
    if len(elements) == 2:
        rows = max(1, round((n * 25 / 40) ** 0.5))
        temperature, x = np.meshgrid(np.linspace(low, high, rows), np.linspace(0.02, 0.98, max(2, n // rows)), indexing="ij")
        return temperature.ravel(), np.stack([1 - x.ravel(), x.ravel()], 1)
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.ones(len(elements)), n)
    return rng.uniform(low, high, n), x


def theirs(name: str, temperature: np.ndarray, x: np.ndarray) -> dict:
    """pycalphad: energies in J/mol (nan: not converged), phases with fractions, and seconds of processor time, cold and warm."""
    file, elements, phases, *_ = SYSTEMS[name]
    data, components = Database(str(FOLDER / file)), [*elements, "VA"]
    phases = list(phases or sorted(data.phases))
    if len(elements) == 2:
        return _grid(data, components, phases, elements, temperature, x)
    conditions = lambda i: {v.N: 1, v.P: 101325, v.T: temperature[i], **{v.X(e): x[i, k] for k, e in enumerate(elements) if k}}
    start = time.process_time()
    space = Workspace(data, components, phases, conditions(0))
    _energy(space)
    cold, energy, mixtures, start = time.process_time() - start, [], [], time.process_time()
    for i in range(len(x)):
        for key, value in conditions(i).items():
            space.conditions[key] = value
        try:
            energy.append(_energy(space))
            mixtures.append([(s.phase_record.phase_name, float(s.NP)) for s in space.get_composition_sets()])
        except Exception as error:  # whatever it raises is a point without an answer, counted as such
            warnings.warn(f"pycalphad: {type(error).__name__}", stacklevel=1)
            energy.append(np.nan)
            mixtures.append([])
    return {"energy": np.array(energy), "mixtures": mixtures, "warm_s": time.process_time() - start, "cold_s": cold}


def _energy(space: Workspace) -> float:
    value = space.get("GM")
    return float(np.squeeze(getattr(value, "magnitude", value)))


def _grid(data, components, phases, elements, temperature, x) -> dict:
    """A grid of temperatures and compositions by one call of pycalphad."""
    temperatures, shares = np.unique(temperature), np.unique(x[:, 1])
    run = lambda t, s: equilibrium(data, components, phases, {v.T: list(t), v.X(elements[1]): list(s), v.P: 101325, v.N: 1})
    start = time.process_time()
    run(temperatures[:1], shares[:1])
    cold, start = time.process_time() - start, time.process_time()
    found = run(temperatures, shares)
    warm, n = time.process_time() - start, len(temperature)
    shape = lambda a: np.asarray(a).reshape(n, -1)
    mixtures = [
        [(str(p), float(f)) for p, f in zip(names, fractions, strict=True) if p]
        for names, fractions in zip(shape(found.Phase), shape(found.NP), strict=True)
    ]
    return {"energy": shape(found.GM)[:, 0], "mixtures": mixtures, "warm_s": warm, "cold_s": cold}


def ours(name: str, temperature: np.ndarray, x: np.ndarray) -> dict:
    """matjax: the same, warm as the best of three runs."""
    file, elements, phases, *_ = SYSTEMS[name]
    start = time.process_time()
    data = read_tdb(FOLDER / file, elements, phases)
    equilibria(data, temperature, x)
    cold, seconds = time.process_time() - start, []
    for _ in range(3):
        start = time.process_time()
        found = equilibria(data, temperature, x)
        seconds.append(time.process_time() - start)
    mixtures = [
        [(data.phases[p], f) for p, f in zip(row, fractions, strict=True) if p >= 0]
        for row, fractions in zip(found.phase, found.fractions, strict=True)
    ]
    return {"energy": found.energy / JOULE_PER_MOLE, "mixtures": mixtures, "warm_s": min(seconds), "cold_s": cold, "gap": found.gap}


def same_fractions(a: list, b: list) -> bool | None:
    """Whether two mixtures hold the same share of every phase; None next to a phase boundary."""
    if min(f for _, f in (*a, *b)) < BOUNDARY:
        return None
    total = lambda mixture, name: sum(f for phase, f in mixture if phase == name)
    return all(abs(total(a, name) - total(b, name)) < BOUNDARY for name in {p for p, _ in (*a, *b)})


def compare(name: str, n: int) -> dict:
    temperature, x = points(name, n)
    mine, other = ours(name, temperature, x), theirs(name, temperature, x)
    scored = np.isfinite(other["energy"])
    excess = np.where(np.isfinite(mine["energy"]), mine["energy"] - other["energy"], np.inf)[scored]
    settled = excess[np.isfinite(excess)]
    same = [same_fractions(mine["mixtures"][i], other["mixtures"][i]) for i in np.flatnonzero(scored) if mine["mixtures"][i]]
    same = [answer for answer in same if answer is not None]
    return {
        "n_point": len(x),
        "matjax_ms": round(1e3 * mine["warm_s"] / len(x), 4),
        "pycalphad_ms": round(1e3 * other["warm_s"] / len(x), 3),
        "speedup": round(other["warm_s"] / mine["warm_s"], 1),
        "n_scored": int(scored.sum()),
        "n_agree": int((excess <= ENOUGH).sum()),
        "max_excess_j_mol": float(settled.max(initial=-np.inf)),
        "n_lower_by_1_j_mol": int((settled < -ENOUGH).sum()),
        "fractions_agree": round(float(np.mean(same)), 4) if same else None,
        "n_fractions": len(same),
        "matjax_failed": int(np.isnan(mine["energy"]).sum()),
        "pycalphad_failed": int((~scored).sum()),
        "largest_gap_ev": float(np.nanmin(mine["gap"])),
        "matjax_first_call_s": round(mine["cold_s"] - mine["warm_s"], 2),
        "pycalphad_first_point_s": round(other["cold_s"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one binary and the quaternary, fewer points")
    parser.add_argument("--smoke", action="store_true", help="one small binary only: does it run?")
    parser.add_argument("--json", action="store_true", help="what is printed is JSON anyway")
    parser.add_argument("--out", type=Path, help="also write the result here")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = SMOKE if given.smoke else QUICK if given.quick else {name: row[-1] for name, row in SYSTEMS.items()}
    systems = {}
    for name, n in chosen.items():
        systems[name] = compare(name, n)
        print(name, json.dumps(systems[name]), file=sys.stderr, flush=True)
    agree, scored = (sum(row[key] for row in systems.values()) for key in ("n_agree", "n_scored"))
    result = {
        **{key: systems[name]["speedup"] for key, name in HEADLINES.items() if name in systems},
        "agree_fraction": round(agree / scored, 5),
        "max_excess_j_mol": max(row["max_excess_j_mol"] for row in systems.values()),
        "systems": systems,
        "versions": {"jax": jax.__version__, "pycalphad": pycalphad.__version__, "python": platform.python_version()},
    }
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
