"""What the discovery pages are made of: the record, the trace and the arrays of one campaign."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from matjax.data.elements import number as atomic_number
from matjax.data.elements import table
from matjax.report.run import Row

LEARNED = "matjax"
LEVEL = 0.9
"""Nominal coverage of every interval of a campaign."""


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """True utility per oracle call of one proposer and seed.

    Attributes:
      proposer: matjax, random or genetic.
      seed: Which of its runs; None where not recorded.
      utility: By the oracle, in call order [n_call]; NaN where a call gave no answer.
    """

    proposer: str
    seed: int | None
    utility: np.ndarray

    @cached_property
    def best(self) -> np.ndarray:
        """Best true utility so far [n_call]; 0, the least there is, until a call gives an answer."""
        return np.maximum.accumulate(np.nan_to_num(self.utility, nan=0.0))


@dataclasses.dataclass(frozen=True, eq=False)
class Mixing:
    """Free energy of mixing and stability along a line of compositions, n points at k temperatures.

    Attributes:
      title: What is mixed.
      lattice: Of the solution.
      x_label: What x counts.
      x: Where [n].
      temperatures: In K [k].
      arrays: [k, n] in eV/atom by name (`gibbs_mixing`, `low`, `high`, `stability`, `stability_low`, `stability_high`,
        `truth_gibbs`); what was not stored is absent.
    """

    title: str
    lattice: str
    x_label: str
    x: np.ndarray
    temperatures: np.ndarray
    arrays: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Trend:
    """Stability of one candidate against temperature.

    Attributes:
      candidate: Its name.
      temperature: In K [n].
      arrays: [n] in eV/atom by name (`stability`, `low`, `high`, `truth`); what was not stored is absent.
    """

    candidate: str
    temperature: np.ndarray
    arrays: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class ValueMap:
    """The value function at partial compositions.

    Attributes:
      elements: Of the matrix [n].
      pairs: Value after two elements [n, n], NaN where the pair cannot be placed; None if not stored.
      corners: Elements of the ternary map.
      points: Amounts of the three and the value [n_point, 4]; None if not stored.
    """

    elements: tuple[str, ...] = ()
    pairs: np.ndarray | None = None
    corners: tuple[str, ...] = ()
    points: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Discovery:
    """A campaign as it was written down; what it did not store is empty.

    Attributes:
      folder: Where it lies.
      info: What `discovery.json` says beside the arrays; of an interrupted campaign the oracle, where its file names it.
      trace: One row per oracle call.
      curves: Of every proposer and seed; from the trace alone where the record is absent.
      pressure: Rows of proxy and truth by number of candidates chosen from.
      rounds: One row per round of learning.
      best: Rows of the best candidates, best first.
      value: The value function.
      mixing: Lines of compositions.
      trends: Stability of candidates against temperature.
      finished: Whether it came to its end and wrote its record.
    """

    folder: Path
    info: Mapping[str, Any]
    trace: tuple[Row, ...]
    curves: tuple[Curve, ...] = ()
    pressure: tuple[Row, ...] = ()
    rounds: tuple[Row, ...] = ()
    best: tuple[Row, ...] = ()
    value: ValueMap = ValueMap()
    mixing: tuple[Mixing, ...] = ()
    trends: tuple[Trend, ...] = ()
    finished: bool = True

    @property
    def oracle(self) -> Mapping[str, Any]:
        """Name, version and note of the oracle."""
        oracle = self.info.get("oracle")
        return oracle if isinstance(oracle, Mapping) else {}

    @property
    def thing(self) -> str:
        """What one candidate is called: alloy, compound."""
        return str(self.info.get("what") or "alloys").removesuffix("s")

    @property
    def world(self) -> str:
        """In two or three words, where the results hold: stands wherever one is shown."""
        if "model system" in f"{self.oracle.get('note', '')}".lower():
            return "model system"
        name = self.oracle.get("name")
        return f"by oracle {name}" if name else "oracle not recorded"

    @property
    def calls(self) -> tuple[Row, ...]:
        """Rows of the trace that were charged as oracle calls and have come back."""
        return tuple(row for row in self.trace if row.get("call") is not None and row.get("status") not in (None, "pending"))

    @property
    def failed(self) -> tuple[Row, ...]:
        """Calls that came back without an answer."""
        return tuple(row for row in self.calls if row["status"] != "converged")

    @property
    def measured(self) -> tuple[Row, ...]:
        """Rows of the trace whose calculation converged and has a true utility."""
        return tuple(row for row in self.trace if row.get("status") == "converged" and row.get("utility") is not None)

    @cached_property
    def proposers(self) -> tuple[str, ...]:
        """The value learner (matjax) first, then the others in the order of the record."""
        return tuple(sorted(dict.fromkeys(curve.proposer for curve in self.curves), key=lambda name: name != LEARNED))

    def of(self, proposer: str) -> tuple[Curve, ...]:
        """Curves of a proposer, one per seed, that hold at least one call."""
        return tuple(curve for curve in self.curves if curve.proposer == proposer and len(curve.utility))

    @property
    def budget(self) -> int:
        """Oracle calls that every curve has: where proposers can be compared."""
        return min((len(curve.utility) for curve in self.curves if len(curve.utility)), default=0)


def best_so_far(curves: Sequence[Curve]) -> np.ndarray:
    """Best true utility so far [n_curve, n_call], up to the shortest curve; curves must not be empty."""
    length = min(len(curve.best) for curve in curves)
    return np.stack([curve.best[:length] for curve in curves])


def weight_percent(composition: Mapping[str, float]) -> dict[str, float]:
    """Shares by weight, in percent, of a composition in atomic fractions.

    Example:
      >>> {symbol: round(share, 1) for symbol, share in weight_percent({"Al": 0.5, "Ni": 0.5}).items()}
      {'Al': 31.5, 'Ni': 68.5}
    """
    mass = {symbol: share * float(table()["mass"][atomic_number(symbol)]) for symbol, share in composition.items()}
    total = sum(mass.values()) or 1.0
    return {symbol: 100 * value / total for symbol, value in mass.items()}
