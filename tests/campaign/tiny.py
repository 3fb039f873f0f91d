"""A campaign of seconds with everything a real one has: EMT measures four-atom cells, an ensemble of ridges on the composition learns."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from matjax import keys
from matjax.campaign import Emt, Measured, Recipe
from matjax.campaign.codec import decode, encode
from matjax.data.elements import number
from matjax.simulate.prototypes import prototype
from matjax.types import Candidate, Crystal, Result
from matjax.value.alloys import Alloys
from matjax.value.properties import Properties

ELEMENTS = ("Ag", "Au", "Cu", "Ni")
SPACE = Alloys(ELEMENTS, lattices=("fcc",), n_site=4, min_elements=2, max_elements=3, min_count=1, max_count=3)  # 30 alloys
N_MEMBER = 4


@dataclasses.dataclass(frozen=True)
class Remembered:
    """An oracle that measures each crystal once and then reads it from a folder, whoever asks."""

    folder: str
    name: ClassVar[str] = "EMT"
    note: ClassVar[str] = "smoke tests only"
    version: ClassVar[str] = "1"
    elements: ClassVar[tuple[str, ...]] = Emt().elements

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal."""
        return [self._measure(crystal, elastic, frames) for crystal in crystals]

    def _measure(self, crystal: Crystal, elastic: bool, frames: bool) -> Result:
        path = Path(self.folder) / crystal.key
        if not path.exists():
            (result,) = Emt(Recipe(n_copy=1)).measure([crystal], elastic=elastic, frames=frames)
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_bytes(encode(result))
            os.replace(partial, path)
        return decode(path.read_bytes())


class Unspeakable(Exception):
    """An exception that cannot travel between processes."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__("from somewhere")


@dataclasses.dataclass(frozen=True)
class Unruly:
    """An oracle that misbehaves, the first few times that it is asked for crystals that hold certain elements.

    Attributes:
      folder: Of what is remembered.
      state: Folder that says how often it was asked, and in `asked.log` for what.
      how: (symbols, how, times): what it does for crystals that hold all of "Ag Cu", how often.
    """

    folder: str
    state: str
    how: tuple[tuple[str, str, int], ...] = ()
    name: ClassVar[str] = "unruly"
    note: ClassVar[str] = ""
    version: ClassVar[str] = "1"
    elements: ClassVar[tuple[str, ...]] = Emt().elements

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal, or not."""
        with open(Path(self.state) / "asked.log", "a") as log:
            log.writelines(crystal.key + "\n" for crystal in crystals)
        results = Remembered(self.folder).measure(crystals, elastic=elastic, frames=frames)
        for symbols, how, times in self.how:
            wanted = {number(symbol) for symbol in symbols.split()}
            met = [i for i, crystal in enumerate(crystals) if wanted <= set(crystal.numbers)]
            if met and self._count(symbols, how) < times:
                results = misbehave(how, results, met)
        return results

    def _count(self, symbols: str, how: str) -> int:
        """How often before."""
        path = Path(self.state) / f"{symbols}-{how}.count"
        count = int(path.read_text()) if path.exists() else 0
        path.write_text(str(count + 1))
        return count


def misbehave(how: str, results: list[Result], met: Sequence[int]) -> Any:
    """What should not happen, to all or to those that are met."""
    match how:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(1000)
        case "raise":
            raise RuntimeError("no such keyword")
        case "unspeakable":
            raise Unspeakable(1, 2)
        case "memory":
            raise MemoryError("no room")
        case "few":
            return results[1:]
        case "dict":
            return [{"energy": 1.0}] * len(results)
    return [_spoiled(how, result) if i in met else result for i, result in enumerate(results)]


def _spoiled(how: str, result: Result) -> Result:
    """One result that is wrong."""
    crystal = result.crystal
    assert crystal is not None
    match how:
        case "nan":
            return dataclasses.replace(result, labels={**result.labels, "energy_per_atom": float("nan")})
        case "atoms":
            return dataclasses.replace(result, crystal=Crystal(crystal.lattice, crystal.positions, np.full(len(crystal), 13)))
        case "transform":
            return dataclasses.replace(result, status="transformed", error="physical: it moved")
        case "lambda":
            return dataclasses.replace(result, evidence={"max_force": lambda: 0.0})  # type: ignore[dict-item]
    raise AssertionError(how)


@dataclasses.dataclass(frozen=True, eq=False)
class Ridges:
    """An ensemble of ridge regressions of the energy on element shares and their products, each on a bootstrap."""

    weights: np.ndarray
    facts: Mapping[str, Any]

    def stability(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Predicted enthalpy of mixing [n_member, n], eV/atom."""
        x = np.array([[c.composition.get(e, 0.0) for e in ELEMENTS] for c in candidates]).reshape(-1, len(ELEMENTS))
        pure = np.einsum("mk,ne,ek->mn", self.weights, x, features(np.eye(len(ELEMENTS))))
        return self.weights @ features(x).T - pure

    def properties(self, candidates: Sequence[Candidate]) -> Properties:
        stability = self.stability(candidates)
        notes = tuple({"flagged": bool(spread > 0.1)} for spread in stability.std(0))
        return Properties({"stability": stability}, novelty=np.zeros(len(candidates)), notes=notes)

    def log_utility(self, candidates: Sequence[Candidate]) -> np.ndarray:
        return log_utility(self.stability(candidates))

    def reward(self, candidates: Sequence[Candidate]) -> np.ndarray:
        return self.log_utility(candidates).mean(0)


def features(x: np.ndarray) -> np.ndarray:
    """Shares and their products [n, 10]."""
    i, j = np.triu_indices(x.shape[1], 1)
    return np.concatenate([x, x[:, i] * x[:, j]], 1)


def log_utility(stability: np.ndarray) -> np.ndarray:
    """Of stabilities in eV/atom: log sigmoid."""
    return -np.logaddexp(0.0, stability / 0.05)


def energy(measured: Measured) -> float:
    """Mean energy of the crystals, eV/atom."""
    return float(np.mean([result.labels["energy_per_atom"] for result in measured.results]))


@dataclasses.dataclass(frozen=True)
class Tiny:
    """Ordered cells of four atoms that mix best; two crystals per candidate."""

    space: ClassVar[Alloys] = SPACE
    elements: ClassVar[tuple[str, ...]] = ELEMENTS

    def cells(self, candidate: Candidate) -> list[Crystal]:
        """Four atoms on an fcc cube, twice."""
        fcc = prototype("fcc")
        symbols = [s for s, n in candidate.occupancy[0] for _ in range(n * 4 // sum(m for _, m in candidate.occupancy[0]))]
        scale = fcc.scale(15.0)
        draw = np.random.default_rng(int(candidate.key, 16))
        orders = [draw.permutation(4) for _ in range(2)]
        numbers = np.array([number(s) for s in symbols])
        return [Crystal(fcc.vectors * scale, fcc.frac_coords @ fcc.vectors * scale, numbers[order]) for order in orders]

    def known(self) -> list[Candidate]:
        """The elements."""
        return [Candidate("fcc", (((symbol, 4),),)) for symbol in ELEMENTS]

    def learn(self, measured: Mapping[str, Measured], *, round: int, run_dir: Path, key: jax.Array) -> Ridges:
        """Ridges on bootstraps."""
        rows = list(measured.values())
        x = features(np.array([[m.candidate.composition.get(e, 0.0) for e in ELEMENTS] for m in rows]))
        y = np.array([energy(m) for m in rows])
        weights = []
        for member in range(N_MEMBER):
            weight = keys.generator(keys.child(key, "member", member)).exponential(size=len(rows))
            weights.append(np.linalg.solve(x.T * weight @ x + 1e-3 * np.eye(x.shape[1]), x.T * weight @ y))
        return Ridges(np.array(weights), {"spread_factor": 1.0})

    def truth(self, measured: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
        """Enthalpy of mixing and what it is worth."""
        pure = {m.candidate.elements[0]: energy(m) for m in measured.values() if len(m.candidate.elements) == 1}
        found = {}
        for key, m in measured.items():
            stability = energy(m) - sum(x * pure[e] for e, x in m.candidate.composition.items())
            found[key] = {"stability": stability, "log_utility": (log := float(log_utility(np.float64(stability)))), "utility": np.exp(log)}
        return found
