"""Energy above the hull of new candidates: matjax against pymatgen, on the same entries.

Prints one JSON object per chemical system: milliseconds of processor time per candidate of both, their ratio, and the
largest disagreement. pymatgen's time is that of `get_e_above_hull` for an entry that is not in the phase diagram. Its
diagram is built once for a set of energies; `speedup_new_energies` counts the building too, as at a new temperature or for
another member of an ensemble (matjax prepares nothing). Compiling is reported apart. `--quick` takes the two smallest systems.

The last object is screening against a fixed hull: 10,000 candidates, 10,000 entries of five elements, matjax by all facets.
`speedup_vs_pymatgen` is the ratio of processor times per candidate (pymatgen's from a sample), `build_vs_pymatgen` pymatgen's time to
build by ours (above one: ours is faster), `max_abs_diff_ev` the largest disagreement on the sample.

    python experiments/benchmarks/hull.py --quick
"""

import argparse
import json
import platform
import time

import jax
import numpy as np
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from matjax.thermo import energy_above_hull
from matjax.thermo.hull.fixed_hull import fixed_hull, hull_at

SYMBOLS = ("Al", "Co", "Cr", "Cu", "Fe", "Ni", "Ti", "V")
SYSTEMS = ((3, 300), (4, 1000), (5, 3000))  # elements, phases


def system(n_element: int, n: int, n_candidate: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Elements at zero, compounds of up to 12 atoms with energies about a regular solution, candidates of any composition."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(12, rng.dirichlet(np.full(n_element, 0.6), n - n_element))
    points = np.concatenate([np.eye(n_element), counts / 12, rng.dirichlet(np.ones(n_element), n_candidate)])
    energies = -1.2 * (1 - (points**2).sum(1)) + 0.25 * rng.normal(size=len(points))
    energies[:n_element] = 0
    return points[:n], energies[:n], points[n:], energies[n:]


def entries(points: np.ndarray, energies: np.ndarray) -> list[PDEntry]:
    return [
        PDEntry(Composition({s: 12 * f for s, f in zip(SYMBOLS, row, strict=False) if f}), 12 * e)
        for row, e in zip(points, energies, strict=True)
    ]


def cpu(function) -> tuple[object, float]:
    start = time.process_time()
    value = function()
    return value, time.process_time() - start


def compare(n_element: int, n: int, n_candidate: int, n_pymatgen: int) -> dict:
    points, energies, x, energy = system(n_element, n, n_candidate)
    diagram, build = cpu(lambda: PhaseDiagram(entries(points, energies)))
    new = entries(x[:n_pymatgen], energy[:n_pymatgen])
    theirs, slow = cpu(lambda: np.array([diagram.get_e_above_hull(entry, allow_negative=True) for entry in new]))
    with jax.enable_x64(True):
        above = jax.jit(jax.vmap(energy_above_hull, (0, 0, None, None)))
        run = lambda: np.asarray(above(x, energy, points, energies))
        _, first = cpu(run)
        ours, fast = min((cpu(run) for _ in range(3)), key=lambda pair: pair[1])
    milliseconds, pymatgen = 1e3 * fast / n_candidate, 1e3 * slow / n_pymatgen
    return {
        "n_element": n_element,
        "n_phase": n,
        "n_candidate": n_candidate,
        "matjax_ms": round(milliseconds, 4),
        "pymatgen_ms": round(pymatgen, 3),
        "speedup": round(pymatgen / milliseconds, 1),
        "speedup_new_energies": round((build + slow * n_candidate / n_pymatgen) / fast, 1),
        "max_difference_ev": float(np.abs(ours[:n_pymatgen] - theirs).max()),
        "matjax_compile_s": round(first - fast, 2),
        "pymatgen_build_s": round(build, 2),
    }


def fixed(n_element: int, n: int, n_candidate: int, n_pymatgen: int) -> dict:
    points, energies, x, energy = system(n_element, n, n_candidate)
    built = entries(points, energies)
    diagram, their_build = cpu(lambda: PhaseDiagram(built))
    new = entries(x[:n_pymatgen], energy[:n_pymatgen])
    theirs, slow = cpu(lambda: np.array([diagram.get_e_above_hull(entry, allow_negative=True) for entry in new]))
    build = lambda: jax.block_until_ready(fixed_hull(points, energies))
    _, first_build = cpu(build)
    hull, our_build = min((cpu(build) for _ in range(3)), key=lambda pair: pair[1])
    run = lambda: energy - np.asarray(hull_at(hull, x).energy)
    _, first = cpu(run)
    ours, fast = min((cpu(run) for _ in range(3)), key=lambda pair: pair[1])
    return {
        "n_element": n_element,
        "n_phase": n,
        "n_candidate": n_candidate,
        "n_sampled": n_pymatgen,
        "n_facet": int(np.sum(np.asarray(hull.indices)[:, 0] >= 0)),
        "matjax_us": round(1e6 * fast / n_candidate, 3),
        "pymatgen_us": round(1e6 * slow / n_pymatgen, 1),
        "matjax_build_s": round(our_build, 4),
        "matjax_first_build_s": round(first_build, 2),
        "matjax_compile_s": round(first - fast, 2),
        "pymatgen_build_s": round(their_build, 3),
        "speedup_vs_pymatgen": round(slow / n_pymatgen / (fast / n_candidate), 1),
        "build_vs_pymatgen": round(their_build / our_build, 1),
        "max_abs_diff_ev": float(np.abs(ours[:n_pymatgen] - theirs).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the two smallest systems, fewer candidates")
    parser.add_argument("--smoke", action="store_true", help="the smallest system only: does it run?")
    parser.add_argument("--json", action="store_true", help="what is printed is JSON anyway")
    given = parser.parse_args()
    quick = given.quick or given.smoke
    print(json.dumps({"jax": jax.__version__, "backend": jax.default_backend(), "python": platform.python_version()}))
    for n_element, n in SYSTEMS[: 1 if given.smoke else 2 if quick else None]:
        print(json.dumps(compare(n_element, n, n_candidate=500, n_pymatgen=20 if quick else 100)), flush=True)
    size = (5, 1000, 1000) if given.smoke else (5, 10_000, 10_000)
    print(json.dumps(fixed(*size, n_pymatgen=50 if given.smoke else 1000)), flush=True)


if __name__ == "__main__":
    main()
