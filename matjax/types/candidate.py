"""A material that may be made, and what an oracle says of it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from matjax.types.crystal import Crystal
from matjax.types.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A material that may be made: which elements sit on which sites of a prototype, as integer counts.

    Attributes:
      prototype: Name of a lattice ("fcc", "bcc", "hcp") or of an ordered structure ("B2", "L1_2"); see simulate.prototypes.
      occupancy: Per orbit of the prototype, (symbol, count) pairs sorted by symbol, counts positive. A solution has one
        orbit whose counts sum to the composition grid; over several orbits counts are in proportion to the multiplicities.
    """

    prototype: str
    occupancy: tuple[tuple[tuple[str, int], ...], ...]

    def __post_init__(self) -> None:
        """Sorts each orbit by symbol and checks the counts."""
        orbits = tuple(tuple(sorted((str(s), int(n)) for s, n in orbit)) for orbit in self.occupancy)
        for orbit in orbits:
            symbols = [s for s, _ in orbit]
            if not orbit or any(n < 1 for _, n in orbit) or len(set(symbols)) < len(symbols):
                raise ValueError(f"orbit {orbit} of {self.prototype}: needs at least one element, each once, with a positive count")
        object.__setattr__(self, "occupancy", orbits)

    @property
    def composition(self) -> dict[str, float]:
        """Atomic fraction by symbol, over all orbits; sorted by symbol."""
        counts: dict[str, int] = {}
        for symbol, n in (pair for orbit in self.occupancy for pair in orbit):
            counts[symbol] = counts.get(symbol, 0) + n
        total = sum(counts.values())
        return {s: counts[s] / total for s in sorted(counts)}

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols, sorted."""
        return tuple(self.composition)

    @property
    def formula(self) -> str:
        """For people, in atomic percent: `fcc Al10 Co30 Ni60`; orbits of an ordered structure are separated by a bar."""
        share = lambda orbit: " ".join(f"{s}{100 * n / sum(m for _, m in orbit):.4g}" for s, n in orbit)
        return f"{self.prototype} " + " | ".join(share(orbit) for orbit in self.occupancy)

    @cached_property
    def key(self) -> str:
        """Content hash (16 hex digits)."""
        text = self.prototype + "|" + "|".join(",".join(f"{s}{n}" for s, n in orbit) for orbit in self.occupancy)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


STATUS = ("converged", "unconverged", "transformed", "failed")


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What an oracle says of one crystal. Only what is converged is ever learned from.

    Attributes:
      status: "converged"; "unconverged" (ran out of steps); "transformed" (the lattice was lost); "failed".
      crystal: The relaxed crystal, or None.
      labels: Numbers of the relaxed crystal: `energy_per_atom` (eV/atom), `volume_per_atom` (Å³/atom).
      elastic: Elastic constants [6, 6] in Voigt notation, eV/Å³, or None where not asked for.
      frames: Configurations met on the way with `energy`, `forces` and `stress`, to train on, or None.
      evidence: Of convergence: `max_force` (eV/Å), `max_stress` (eV/Å³), `n_step`, `volume_ratio`, `max_displacement` (Å),
        `min_distance` (Å), `relaxed` (1 where the atoms or the cell were relaxed, 0 where they stand where they were put).
      cost: Seconds of the oracle.
      error: "class: message" of what went wrong; empty when converged. Classes: `campaign.FAILURES`.
    """

    status: str
    crystal: Crystal | None = None
    labels: Mapping[str, float] = dataclasses.field(default_factory=dict)
    elastic: np.ndarray | None = None
    frames: Dataset | None = None
    evidence: Mapping[str, float] = dataclasses.field(default_factory=dict)
    cost: float = 0.0
    error: str = ""

    def __post_init__(self) -> None:
        """Checks the status."""
        if self.status not in STATUS:
            raise ValueError(f"status of a result is {self.status!r}; allowed: {', '.join(STATUS)}")

    @property
    def converged(self) -> bool:
        """Whether the labels may be learned from."""
        return self.status == "converged"
