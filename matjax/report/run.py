"""What a report is made of: the rows, the predictions and the record of one stress-test run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from matjax.report.words import method_name
from matjax.stress_test.comparison import Comparison, compare_methods
from matjax.stress_test.summary import FamilySummary, summarise

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Predictions for one test set of n crystals; None where the run did not store an array.

    Attributes:
      target: Labels [n].
      mean: Ensemble mean [n].
      index: Names [n].
      std: Spread of the members [n].
      total_std: Spread and noise together [n].
      half_width: Half-width of the split conformal interval [n].
      half_width_ldo: The same, calibrated on left-out domains [n].
      score: Shift score [n], larger is farther from the training crystals.
      flag: Called off-distribution [n].
      features: Latent features [n, n_feature].
      baseline: Prediction of the composition baseline [n].
      elements: Which elements a crystal has [n, 119], by atomic number.
    """

    target: np.ndarray
    mean: np.ndarray
    index: np.ndarray | None = None
    std: np.ndarray | None = None
    total_std: np.ndarray | None = None
    half_width: np.ndarray | None = None
    half_width_ldo: np.ndarray | None = None
    score: np.ndarray | None = None
    flag: np.ndarray | None = None
    features: np.ndarray | None = None
    baseline: np.ndarray | None = None
    elements: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.target)

    @property
    def error(self) -> np.ndarray:
        """Absolute error [n], in the label's unit."""
        return np.abs(self.mean - self.target)


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """The two test sets of one job: inside the training domains and in the domain held out."""

    inside: Part
    outside: Part


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One shift and domain, with the rows of every method and seed that met it."""

    shift: str
    domain: str
    rows: tuple[Row, ...]

    @property
    def control(self) -> bool:
        """Whether this is the random split, where nothing shifts."""
        return self.domain == "random" or self.shift.startswith("random")

    @property
    def tail(self) -> bool:
        """Whether the label itself was cut: a shift of another kind, kept out of averages over shifts."""
        return self.shift.startswith("property_tail")

    @property
    def held_out(self) -> str:
        """What was held out, with the column where the domain alone says too little: `nitride`, `space_group 225`."""
        column = self.shift.partition("(")[2].removesuffix(")")
        if column and self.tail:
            return f"{self.domain} of {column}"
        return f"{column} {self.domain}" if column and self.domain.isdigit() else self.domain

    @property
    def title(self) -> str:
        """What a reader calls it: `random split`, `nitride left out`."""
        return "random split" if self.control else f"{self.held_out} left out"

    @property
    def short(self) -> str:
        """The title where there is little room: at most 26 characters."""
        return self.title if len(self.title) <= 26 else f"{self.title[:25]}…"

    def of(self, method: str) -> tuple[Row, ...]:
        """The rows of one method, one per seed."""
        return tuple(row for row in self.rows if row["method"] == method)

    def value(self, method: str, field: str) -> float | None:
        """Mean of a field over the seeds of a method; None if no seed has it."""
        return average(self.of(method), field)


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A stress test as it was written down.

    Attributes:
      folder: Where it lies.
      rows: One per (shift, domain, method, seed); NaN and infinity are None.
      pairs: Predictions by file name.
      info: What `run.json` says; empty if it is absent.
    """

    folder: Path
    rows: tuple[Row, ...]
    pairs: Mapping[str, Pair]
    info: Mapping[str, Any]

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Methods in the order of the file, the reference (ERM where it was run) first."""
        names = list(dict.fromkeys(row["method"] for row in self.rows))
        return tuple(sorted(names, key=lambda name: method_name(name) != "ERM"))

    @property
    def reference(self) -> str:
        """The method that the others are compared with and the figures show: ERM, or the first of the file."""
        return self.methods[0]

    @property
    def model(self) -> str:
        """What the figures show, in words: `the ERM ensemble`."""
        members = average(self.rows, "n_member")
        return f"the {method_name(self.reference)} {'model' if members == 1 else 'ensemble'}"

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """Controls first, then from the mildest to the worst growth of the reference's error."""
        keys = dict.fromkeys((row["shift"], row["domain"]) for row in self.rows)
        cases = [Case(s, d, tuple(row for row in self.rows if (row["shift"], row["domain"]) == (s, d))) for s, d in keys]
        return tuple(sorted(cases, key=lambda case: (not case.control, growth(case, self.reference) or 0.0)))

    @cached_property
    def results(self) -> tuple[Row, ...]:
        """The rows that are results: neither chosen on the test crystals nor a control, whose answer is known."""
        return tuple(row for row in self.rows if row.get("selection") != "oracle" and not row.get("control"))

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every method against the reference, family by family; empty where nothing was held out or there is one method."""
        rows = [row for row in self.results if row.get("mae_out")]
        held = [row for row in rows if not str(row["shift"]).startswith("random")]
        if not any(row["method"] == self.reference for row in held):
            return ()
        return compare_methods(rows, reference=self.reference, errors=self._errors)

    @cached_property
    def summaries(self) -> tuple[FamilySummary, ...]:
        """What every family lost, by method; empty where nothing was held out."""
        return summarise(self.results) if any(not str(row["shift"]).startswith("random") for row in self.results) else ()

    def _errors(self, row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Errors outside, ids and chemical systems behind a row, where the run kept them."""
        pair = self.pairs.get(row.get("predictions") or "")
        if pair is None or pair.outside.index is None or pair.outside.elements is None:
            return None
        systems = np.array([bits.tobytes().hex() for bits in np.packbits(pair.outside.elements.astype(bool), axis=1)])
        return pair.outside.error, pair.outside.index.astype(str), systems

    def pair(self, case: Case) -> Pair | None:
        """Predictions of the reference method for a case, of the first seed that stored them."""
        names = [row["predictions"] for row in case.of(self.reference) if row.get("predictions")]
        return self.pairs[names[0]] if names else None

    def common(self, field: str, missing: str = "not recorded") -> str:
        """The values of a field over all rows, as text."""
        values = dict.fromkeys(str(row[field]) for row in self.rows if row.get(field) is not None)
        return ", ".join(values) or missing

    @property
    def unit(self) -> str:
        """Unit of the label, empty where no row names it."""
        return self.common("unit", "")

    @property
    def level(self) -> float | None:
        """Nominal coverage of the intervals."""
        return average(self.rows, "level")


def average(rows: Sequence[Row], field: str) -> float | None:
    """Mean of a field over the rows that have it; None if none has."""
    values = [float(row[field]) for row in rows if row.get(field) is not None]
    return sum(values) / len(values) if values else None


def growth(case: Case, method: str) -> float | None:
    """Error outside over error inside: on the same materials where the matched fit was run, else on the two test sets."""
    matched, inside, outside = (case.value(method, field) for field in ("matched_ratio", "mae_in", "mae_out"))
    if matched is not None:
        return matched
    return outside / inside if inside and outside is not None else None
