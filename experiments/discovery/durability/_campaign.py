"""A campaign of about a second with everything a real one has: a closed-form oracle, an ensemble of ridges that learns from it."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from matjax import keys
from matjax.campaign import Inline, Trace, discover
from matjax.data.elements import SYMBOLS, number
from matjax.simulate import prototype
from matjax.types import Candidate, Crystal, Result
from matjax.value import Alloys, Genetic, Properties, Thompson

ELEMENTS = ("Ag", "Au", "Cu", "Ni")
PURE = {"Ag": -2.9, "Au": -3.8, "Cu": -3.5, "Ni": -4.4}
SPACE = Alloys(ELEMENTS, lattices=("fcc",), n_site=12, min_elements=2, max_elements=4, min_count=1, max_count=9)


@dataclasses.dataclass(frozen=True)
class Regular:
    """Energies of a regular solution, written down as asked before they are given; `wrong` spoils those of alloys with Au and Ni."""

    log: str
    wrong: str = ""
    seconds: float = 0.02
    name: ClassVar[str] = "regular solution"
    version: ClassVar[str] = "1"
    note: ClassVar[str] = "closed form, no material"
    elements: ClassVar[tuple[str, ...]] = ELEMENTS
    gives: ClassVar[tuple[str, ...]] = ()

    def measure(self, crystals: Any, *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal."""
        with open(self.log, "a", encoding="utf-8") as log:
            log.writelines(crystal.key + "\n" for crystal in crystals)
        time.sleep(self.seconds)
        return [self._measure(crystal) for crystal in crystals]

    def _measure(self, crystal: Crystal) -> Result:
        symbols = [SYMBOLS[z] for z in crystal.numbers]
        x = np.array([symbols.count(element) / len(symbols) for element in ELEMENTS])
        labels = {
            "energy_per_atom": float(x @ list(PURE.values()) + 0.4 * x[0] * x[3] - 0.3 * x[1] * x[2]),
            "volume_per_atom": crystal.volume / len(crystal),
        }
        result = Result("converged", crystal=crystal, labels=labels, evidence={"max_force": 0.0}, cost=self.seconds)
        return spoiled(self.wrong, result) if {"Au", "Ni"} <= set(symbols) else result


class Unspeakable(Exception):
    """An exception that cannot travel between processes."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__("from somewhere")


def spoiled(how: str, result: Result) -> Result:
    """What a faulty oracle makes of a sound result."""
    energy, crystal = result.labels["energy_per_atom"], result.crystal
    assert crystal is not None
    if how == "raises":
        raise Unspeakable(1, 2)
    if how == "atoms":
        return dataclasses.replace(result, crystal=Crystal(crystal.lattice, crystal.positions, np.full(len(crystal), 13)))
    wrong = {"nan": np.nan, "hartree": energy / 27.211386}
    if how in wrong:
        return dataclasses.replace(result, labels={**result.labels, "energy_per_atom": wrong[how]})
    return dataclasses.replace(result, status="unconverged", error="numerical: out of steps") if how == "unconverged" else result


@dataclasses.dataclass(frozen=True, eq=False)
class Ridges:
    """The surrogate of a round: coefficients of every member [n_member, n_pair]."""

    coefficients: np.ndarray
    facts: Any = dataclasses.field(default_factory=dict)

    def properties(self, candidates: Any) -> Properties:
        """Enthalpies of mixing [n_member, n]."""
        return Properties({"stability": self.coefficients @ products(shares(candidates)).T})

    def log_utility(self, candidates: Any) -> np.ndarray:
        """[n_member, n]."""
        return -np.logaddexp(0.0, self.properties(candidates).samples["stability"] / 0.05)

    def reward(self, candidates: Any) -> np.ndarray:
        """The worst member's."""
        return self.log_utility(candidates).min(0)


def shares(candidates: Any) -> np.ndarray:
    """Atomic fractions [n, n_element]."""
    return np.array([[c.composition.get(e, 0.0) for e in ELEMENTS] for c in candidates]).reshape(-1, len(ELEMENTS))


def products(x: np.ndarray) -> np.ndarray:
    """What a regular solution is linear in [n, n_pair]."""
    i, j = np.triu_indices(x.shape[1], 1)
    return x[:, i] * x[:, j]


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Which alloys of twelve atoms mix best?"""

    space: ClassVar[Alloys] = SPACE
    elements: ClassVar[tuple[str, ...]] = ELEMENTS

    def cells(self, candidate: Candidate) -> list[Crystal]:
        """One cell of four atoms, three times along x."""
        fcc, scale = prototype("fcc"), prototype("fcc").scale(15.0)
        symbols = [s for s, n in candidate.occupancy[0] for _ in range(n)]
        frac = np.concatenate([fcc.frac_coords + [i, 0, 0] for i in range(3)])
        lattice = fcc.vectors * scale
        return [Crystal(np.array([3.0, 1.0, 1.0])[:, None] * lattice, frac @ lattice, np.array([number(s) for s in symbols]))]

    def known(self) -> list[Candidate]:
        """The elements."""
        return [Candidate("fcc", (((symbol, 12),),)) for symbol in ELEMENTS]

    def mixing(self, measured: Any) -> np.ndarray:
        """Enthalpies of mixing, eV/atom."""
        energy = np.array([m.results[0].labels["energy_per_atom"] for m in measured.values()])
        return energy - shares([m.candidate for m in measured.values()]) @ list(PURE.values())

    def learn(self, measured: Any, *, round: int, run_dir: Path, key: jax.Array) -> Ridges:
        """Ridges with random weights."""
        x, y = products(shares([m.candidate for m in measured.values()])), self.mixing(measured)
        rng, members = keys.generator(key), []
        for _ in range(4):
            weighted = x * rng.exponential(size=len(x))[:, None]
            members.append(np.linalg.solve(weighted.T @ x + 1e-3 * np.eye(x.shape[1]), weighted.T @ y))
        return Ridges(np.array(members))

    def truth(self, measured: Any) -> dict[str, dict[str, float]]:
        """Enthalpy of mixing and what it is worth."""
        enthalpy = self.mixing(measured)
        log_utility = -np.logaddexp(0.0, enthalpy / 0.05)
        rows = zip(measured, enthalpy, log_utility, strict=True)
        return {key: {"stability": h, "log_utility": u, "utility": float(np.exp(u))} for key, h, u in rows}


def campaign(folder: Path, config: dict[str, Any], wrong: str = "") -> Trace:
    """Runs or resumes it."""
    folder.mkdir(exist_ok=True, parents=True)
    limits = {name: config[name] for name in ("budget", "batch", "pool")}
    oracle = Regular(str(folder / "asked.log"), wrong)
    settings = {"run_dir": folder / "run", "key": jax.random.key(7), "executor": Inline(1)}
    return discover(Mixed(), oracle, Genetic(population=16, n_generation=2), Thompson(), **limits, **settings)
