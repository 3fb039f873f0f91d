"""From enthalpies to energies above the hull: quinary candidates x members x temperatures in one jitted pipeline.

Every phase (a pool of compounds and the elements, and every candidate) has G(T) = enthalpy + Debye free energy - T S_conf, the last
for candidates alone; members of an ensemble differ in all enthalpies. The facets of the pool's hull, for every member and
temperature, are found on the host before (`pool_seconds`, which `seconds` includes); all that is done for candidates, from their
enthalpies to their energies above the hull, is one compiled program.

Prints one JSON object: seconds of processor time and bytes (of the compiled program's buffers) of the full size, and growth
exponents, seconds ~ size^exponent, with candidates, entries and elements. `sampled_difference_ev` compares some of the answers with
one simplex search each, which needs no facets. Rows go to stderr as they are measured.

    taskset -c 1 python experiments/benchmarks/screening.py --json
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from matjax.thermo import configurational_entropy, debye_free_energy, lower_hull
from matjax.thermo.hull.fixed_hull import FixedHull, fixed_hull, hull_at
from matjax.thermo.hull.lower_hull import NO_PHASE

TEMPERATURES = np.array([300.0, 600.0, 900.0, 1200.0, 1500.0])
SIZES = {"full": (100_000, 1000), "quick": (10_000, 1000), "smoke": (1000, 200)}  # candidates, entries
N_ELEMENT, N_MEMBER = 5, 5


def data(n_candidate: int, n_entry: int, n_element: int, n_member: int = N_MEMBER, seed: int = 0) -> dict[str, np.ndarray]:
    """Pool and candidates: enthalpies about a regular solution, Debye temperatures of 250 to 450 K."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(12, rng.dirichlet(np.full(n_element, 0.6), n_entry - n_element))
    points, x = np.concatenate([np.eye(n_element), counts / 12]), rng.dirichlet(np.ones(n_element), n_candidate)

    def enthalpy(x: np.ndarray) -> np.ndarray:
        mean = -0.6 * (1 - (x**2).sum(1)) + 0.15 * rng.normal(size=len(x)) * (x.max(1) < 1)
        return mean + 0.03 * rng.normal(size=(n_member, len(x))) * (x.max(1) < 1)

    theta = lambda x: x @ np.linspace(250, 450, n_element)
    return {"x": x, "enthalpy": enthalpy(x), "theta": theta(x), "points": points, "pool": enthalpy(points), "pool_theta": theta(points)}


def pool_hulls(d: dict[str, np.ndarray]) -> FixedHull:
    """Hulls of the pool [n_member * n_temperature], with one number of facets."""
    vibration = np.asarray(debye_free_energy(TEMPERATURES[:, None], d["pool_theta"][None, :]))
    gibbs = (d["pool"][:, None] + vibration).reshape(-1, len(d["points"]))
    hulls = [fixed_hull(d["points"], energies) for energies in gibbs]
    most = max(int(np.sum(np.asarray(hull.indices)[:, 0] >= 0)) for hull in hulls)
    return jax.tree.map(lambda *fields: jnp.stack(fields), *(_sized(hull, -(-most // 128) * 128) for hull in hulls))


def _sized(hull: FixedHull, size: int) -> FixedHull:
    """With as many facets, of which those at the end are padding."""
    fill = {"indices": -1, "inverse": 0.0, "chemical_potentials": -NO_PHASE, "gap": -np.inf}
    pad = lambda a, value: np.pad(a[:size], ((0, max(0, size - len(a))),) + ((0, 0),) * (a.ndim - 1), constant_values=value)
    return hull._replace(**{name: pad(np.asarray(getattr(hull, name)), value) for name, value in fill.items()})


@jax.jit
def screen(hulls: FixedHull, x: jax.Array, enthalpy: jax.Array, theta: jax.Array, temperatures: jax.Array) -> jax.Array:
    """Energies above the hull [n_member, n_temperature, n_candidate]."""
    vibration = jax.lax.map(lambda t: debye_free_energy(t, theta), temperatures)
    gibbs = vibration - temperatures[:, None] * configurational_entropy(x)[None, :]
    below = jax.lax.map(lambda hull: hull_at(hull, x).energy, hulls)
    return enthalpy[:, None] + gibbs[None] - below.reshape(len(enthalpy), len(temperatures), -1)


def measure(n_candidate: int, n_entry: int, n_element: int) -> dict:
    d = data(n_candidate, n_entry, n_element)
    start = time.process_time()
    hulls = jax.block_until_ready(pool_hulls(d))
    pool_seconds = time.process_time() - start
    if not bool(jnp.all(hulls.complete)):
        raise RuntimeError(f"a hull of {n_element} elements and {n_entry} entries is incomplete")
    inputs = (hulls, *(jnp.asarray(d[name]) for name in ("x", "enthalpy", "theta")), jnp.asarray(TEMPERATURES))
    start = time.process_time()
    compiled = screen.lower(*inputs).compile()
    compile_s = time.process_time() - start
    memory = compiled.memory_analysis()
    start = time.process_time()
    above = jax.block_until_ready(compiled(*inputs))
    seconds = time.process_time() - start + pool_seconds
    return {
        "n_candidate": n_candidate,
        "n_entry": n_entry,
        "n_element": n_element,
        "n_hull": above.size // n_candidate,
        "n_facet": hulls.gap.shape[1],
        "seconds": round(seconds, 3),
        "pool_seconds": round(pool_seconds, 3),
        "compile_s": round(compile_s, 2),
        "bytes": memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes,
        "n_nan": int(jnp.isnan(above).sum()),
        "sampled_difference_ev": difference(d, np.asarray(above)),
    }


def difference(d: dict, above: np.ndarray, n: int = 32) -> float:
    """Largest disagreement with simplex searches, over the first candidates, at one member and temperature."""
    member, at = len(above) - 1, len(TEMPERATURES) - 1
    pool = d["pool"][member] + debye_free_energy(TEMPERATURES[at], d["pool_theta"])
    hull = jax.jit(jax.vmap(lower_hull, (0, None, None)))(d["x"][:n], d["points"], pool)
    gibbs = debye_free_energy(TEMPERATURES[at], d["theta"][:n]) - TEMPERATURES[at] * configurational_entropy(d["x"][:n])
    return float(jnp.abs(d["enthalpy"][member, :n] + gibbs - hull.energy - above[member, at, :n]).max())


def exponent(rows: list[dict], name: str) -> float:
    """Slope of log seconds against log size."""
    return round(float(np.polyfit(np.log([row[name] for row in rows]), np.log([row["seconds"] for row in rows]), 1)[0]), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 candidates")
    parser.add_argument("--smoke", action="store_true", help="1,000 candidates, no growth with elements: does it run?")
    parser.add_argument("--json", action="store_true", help="what is printed is JSON anyway")
    given = parser.parse_args()
    n, n_entry = SIZES["smoke" if given.smoke else "quick" if given.quick else "full"]
    tell = lambda row: print(json.dumps(row), file=sys.stderr, flush=True) or row
    with jax.enable_x64(True):
        whole = tell(measure(n, n_entry, N_ELEMENT))
        candidates = [tell(measure(n // 4, n_entry, N_ELEMENT)), whole]
        entries = [tell(measure(n, n_entry // 4, N_ELEMENT)), whole]
        elements = [] if given.smoke else [*(tell(measure(n // 4, n_entry, k)) for k in (3, 4)), candidates[0]]
        elements += [] if given.smoke or given.quick else [tell(measure(n // 4, n_entry, 6))]
    found = {
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "python": platform.python_version(),
        **whole,
        "candidates_exponent": exponent(candidates, "n_candidate"),
        "entries_exponent": exponent(entries, "n_entry"),
        "elements_exponent": exponent(elements, "n_element") if elements else None,
        "rows": [*candidates[:1], *entries[:1], *elements],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
