"""Density-functional theory in the loop: a campaign over binary compounds whose oracle is GPAW, with failures injected.

A Bayesian ridge over pairs and prototypes is the model. GPAW runs in its own interpreter, named by the environment variable GPAW_PYTHON.
Afterwards the compounds that the campaign did not ask for are measured too, so that what it found can be compared with all there is.

    GPAW_PYTHON=gpaw-venv/bin/python python experiments/discovery/dft/run.py --budget 30 --json
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _trials import Row, Trials, command

from matjax import keys
from matjax.campaign import Command, Measured, Recipe, discover
from matjax.config import spec
from matjax.data.elements import number
from matjax.simulate.cells import compound_candidates, element_volumes
from matjax.simulate.prototypes import prototype
from matjax.types import Candidate, Crystal
from matjax.value import Context, Properties, UpperBound

HERE = Path(__file__).resolve().parent
SMOKE = (
    'elements=["Al", "Cu", "Ni"]',
    'calculator="emt"',
    "budget=4",
    'faults=[["AlNi", "killed"], ["Al3Ni", "nan"], ["AlCu", "scf always"]]',
)
GROUND = {"Al": "fcc", "Cu": "fcc", "Ni": "fcc", "Ti": "hcp"}
N_MEMBER = 16
PRIOR, NOISE = 0.3, 0.03  # eV/atom: of a coefficient, of what the model leaves out


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    elements: tuple[str, ...]
    prototypes: tuple[str, ...]
    calculator: str
    time_limit: float
    budget: int
    batch: int
    target: float
    scale: float
    self_test: tuple[float, float]
    faults: tuple[tuple[str, str], ...]

    def compounds(self) -> list[Candidate]:
        """All there is."""
        return [c for pair in itertools.combinations(self.elements, 2) for c in compound_candidates(pair, self.prototypes)]


@dataclasses.dataclass(frozen=True)
class Listed:
    """Proposes what is on the list of the space and was not seen, in random order."""

    def propose(self, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """See `Proposer`."""
        left = [c for c in context.space if c.key not in context.seen]
        return [left[i] for i in keys.generator(key).permutation(len(left))[:n]]


@dataclasses.dataclass(frozen=True, eq=False)
class Ridge:
    """The surrogate of a round: draws from a Bayesian ridge [n_member, n_feature]."""

    problem: Compounds
    draws: np.ndarray
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def properties(self, candidates: Sequence[Candidate]) -> Properties:
        """Formation energies."""
        return Properties({"stability": self.draws @ self.problem.features(candidates).T})

    def log_utility(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Of every member."""
        return self.problem.log_utility(self.properties(candidates).samples["stability"])

    def reward(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """The mean over members."""
        return self.log_utility(candidates).mean(0)


@dataclasses.dataclass(frozen=True)
class Compounds:
    """Which binary compounds form with the most energy?"""

    settings: Settings

    @property
    def space(self) -> list[Candidate]:
        """The list."""
        return self.settings.compounds()

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols."""
        return self.settings.elements

    def known(self) -> list[Candidate]:
        """The elements, in the structures of their references."""
        return [Candidate(GROUND[s], (((s, len(prototype(GROUND[s]))),),)) for s in self.elements]

    def cells(self, candidate: Candidate) -> list[Crystal]:
        """The primitive cell, at the volume that mixing the elements gives."""
        cell, volumes = prototype(candidate.prototype), element_volumes(candidate.elements)
        scale = cell.scale(sum(f * volumes[s] for s, f in candidate.composition.items()))
        numbers = np.array([number(dict_of(candidate, orbit)) for orbit in cell.orbit])
        vectors, positions = cell.vectors * scale, cell.frac_coords @ cell.vectors * scale
        if candidate.prototype == "fcc":
            return [Crystal((1 - np.eye(3)) * vectors[0, 0] / 2, positions[:1], numbers[:1])]
        if candidate.prototype == "L1_0":
            a, c = vectors[0, 0] / 2, vectors[2, 2]
            kept = [int(np.flatnonzero(cell.orbit == k)[0]) for k in (0, 1)]
            return [Crystal(np.array([[a, a, 0], [a, -a, 0], [0, 0, c]]), positions[kept], numbers[kept])]
        return [Crystal(vectors, positions, numbers)]

    def features(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Pair, asymmetry of the pair, prototype [n, n_feature]."""
        pairs = list(itertools.combinations(sorted(self.elements), 2))
        rows = np.zeros((len(candidates), 2 * len(pairs) + len(self.settings.prototypes)))
        for row, c in zip(rows, candidates, strict=True):
            (a, b), k = sorted(c.elements), len(pairs)
            x = c.composition[a]
            row[pairs.index((a, b))] = 4 * x * (1 - x)
            row[k + pairs.index((a, b))] = 2 * x - 1
            row[2 * k + self.settings.prototypes.index(c.prototype)] = 0.5
        return rows

    def log_utility(self, energy: np.ndarray) -> np.ndarray:
        """Of a formation energy."""
        return -np.logaddexp(0.0, (energy - self.settings.target) / self.settings.scale)

    def formation(self, measured: Mapping[str, Measured]) -> dict[str, float]:
        """Formation energy of every measured compound, eV/atom, by candidate key."""
        energy = {k: float(m.results[0].labels["energy_per_atom"]) for k, m in measured.items()}
        pure = {m.candidate.elements[0]: energy[k] for k, m in measured.items() if len(m.candidate.elements) == 1}
        compounds = {k: m.candidate for k, m in measured.items() if len(m.candidate.elements) > 1}
        return {k: energy[k] - sum(f * pure[s] for s, f in c.composition.items()) for k, c in compounds.items()}

    def learn(self, measured: Mapping[str, Measured], *, round: int, run_dir: Path, key: jax.Array) -> Ridge:
        """The ridge, of the prior alone in the first round."""
        formed = self.formation(measured)
        design = self.features([measured[k].candidate for k in formed]) if formed else self.features(self.space[:0])
        precision = design.T @ design / NOISE**2 + np.eye(design.shape[1]) / PRIOR**2
        mean = np.linalg.solve(precision, design.T @ np.array(list(formed.values()), float) / NOISE**2)
        spread = np.linalg.cholesky(np.linalg.inv(precision))
        return Ridge(self, mean + keys.generator(key).normal(size=(N_MEMBER, len(mean))) @ spread.T)

    def truth(self, measured: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
        """Of every measured compound."""
        told = {k: (h, float(self.log_utility(np.array(h)))) for k, h in self.formation(measured).items()}
        return {k: {"stability": h, "log_utility": u, "utility": float(np.exp(u)), "competitors": []} for k, (h, u) in told.items()}


def dict_of(candidate: Candidate, orbit: int) -> str:
    """The one element on an orbit."""
    return candidate.occupancy[orbit][0][0]


def oracle_of(settings: Settings, faults: Path | None) -> Command:
    """GPAW, or EMT in a smoke test, by `_gpaw_worker.py`."""
    python = sys.executable if settings.calculator == "emt" else os.environ.get("GPAW_PYTHON", "")
    if not python:
        sys.exit("GPAW_PYTHON is not set: name the interpreter in which `import gpaw` works")
    told = f" --faults {faults}" if faults else ""
    line = f"{python} {HERE / '_gpaw_worker.py'} --calculator {settings.calculator}{told}"
    note = "PBE, 350 eV, explicit Gamma-centred meshes" if settings.calculator == "gpaw" else "EMT: no claim about real alloys"
    return Command(line, settings.elements, recipe=Recipe(gives=()), time_limit=settings.time_limit, title=settings.calculator, note=note)


def self_test(settings: Settings) -> Row:
    """The formation energy of B2 NiAl from three cells, eV/atom."""
    fcc = lambda s, a: Crystal(a / 2 * (1 - np.eye(3)), np.zeros((1, 3)), [number(s)])
    b2 = Crystal(2.895 * np.eye(3), 2.895 * np.array([[0, 0, 0], [0.5] * 3]), [number("Ni"), number("Al")])
    begun = time.perf_counter()
    al, ni, nial = (r.labels["energy_per_atom"] for r in oracle_of(settings, None).measure([fcc("Al", 4.04), fcc("Ni", 3.52), b2]))
    found, (wanted, tolerance) = nial - (al + ni) / 2, settings.self_test
    if settings.calculator == "gpaw" and not abs(found - wanted) <= tolerance:
        sys.exit(f"NiAl has {found:.4f} eV/atom; it must be {wanted} +/- {tolerance}")
    return {"formation_energy_NiAl": round(float(found), 4), "wall_seconds": round(time.perf_counter() - begun, 1)}


def campaign(settings: Settings, work: Path) -> Row:
    """The campaign with its faults; goes on where an interrupted one stopped."""
    work.mkdir(parents=True, exist_ok=True)
    (plan := work / "faults.json").write_text(json.dumps(dict(settings.faults)))
    begun, told = time.perf_counter(), list[dict[str, Any]]()
    trace = discover(
        Compounds(settings),
        oracle_of(settings, plan),
        Listed(),
        UpperBound(),
        budget=settings.budget,
        batch=settings.batch,
        pool=len(settings.compounds()),
        run_dir=work / "campaign",
        key=jax.random.key(0),
        report=told.append,
    )
    calls = [
        {
            k: (round(v, 5) if isinstance(v, float) else v)
            for k in ("call", "candidate", "status", "error", "stability", "cost")
            if (v := row.get(k)) is not None
        }
        for row in trace.rows
    ]
    events = [str(t)[:160] for t in told if t.get("kind") in ("retry", "failed")]
    return {"calls": calls, "reason": trace.reason, "events": events, "wall_seconds": round(time.perf_counter() - begun, 1)}


def exhaustive(settings: Settings, candidate: Candidate) -> Row:
    """One compound, or element, without faults."""
    begun = time.perf_counter()
    (result,) = oracle_of(settings, None).measure(Compounds(settings).cells(candidate))
    energy = float(result.labels["energy_per_atom"]) if result.converged else None
    return {"energy_per_atom": energy, "error": result.error, "wall_seconds": round(time.perf_counter() - begun, 1)}


def measure(settings: Settings, trials: Trials) -> Row:
    """Self-test, campaign, then the list."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) if trials.path.parent != HERE else HERE.parents[2] / "runs/dft" / trials.frozen
        tested = trials.row("self_test", lambda: self_test(settings))
        found = trials.row("campaign", lambda: campaign(settings, work))
        problem = Compounds(settings)
        everything = problem.known() + problem.space
        rows = {
            c.key: trials.row(c.formula if len(c.elements) > 1 else c.elements[0], lambda c=c: exhaustive(settings, c)) for c in everything
        }
    figures: Row = {"self_test": tested, "compounds": len(problem.space)}
    if found and all(rows.values()):
        energy = {key: row["energy_per_atom"] for key, row in rows.items() if row and row["energy_per_atom"] is not None}
        pure = {c.elements[0]: energy[c.key] for c in problem.known()}
        formed = {c.key: energy[c.key] - sum(f * pure[s] for s, f in c.composition.items()) for c in problem.space if c.key in energy}
        names = {c.key: c.formula for c in problem.space}
        order = sorted(formed, key=lambda k: formed[k])
        figures |= {
            "lowest": {names[k]: round(formed[k], 4) for k in order[:5]},
            "wall_seconds_exhaustive": round(sum(row["wall_seconds"] for row in rows.values() if row), 1),
            "wall_seconds_campaign": found["wall_seconds"],
        }
    trials.write({"figures": figures})
    return figures


if __name__ == "__main__":
    command(__doc__ or "", HERE, Settings, measure, inputs=[HERE / "_gpaw_worker.py"], quick=("budget=6",), smoke=SMOKE)
