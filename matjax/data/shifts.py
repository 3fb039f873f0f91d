"""Shifts: where a model is trained and where it is tested. Each yields splits; leave-one-domain-out yields many."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Protocol

import jax
import numpy as np

from matjax.config import spec
from matjax.data.apart import kept_apart
from matjax.data.domains import domain_values
from matjax.data.elements import number
from matjax.data.memberships import memberships
from matjax.data.split import Sizes, cut
from matjax.keys import child, generator
from matjax.types import Dataset, Split


class Shift(Protocol):
    """What a stress test asks of a shift."""

    def __call__(self, dataset: Dataset, key: jax.Array) -> Iterator[Split]:
        """The splits of this shift, one per domain held out."""
        ...

    def describe(self) -> str:
        """The shift in one line."""
        ...


@spec
class Random:
    """The control: nothing shifts. `test_inside` and `test_outside` are two disjoint random parts.

    Attributes:
      outside: Share of all crystals that plays the domain held out.
      sizes: How large the parts are; None for the sizes of the run, or `Sizes()`.
    """

    outside: float = 0.2
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        """Refuses a share outside (0, 1)."""
        _check_fraction("outside", self.outside)

    def __call__(self, dataset: Dataset, key: jax.Array) -> Iterator[Split]:
        """One split.

        Raises:
          ValueError: If crystals do not suffice for a part.
        """
        rows = generator(child(key, "random", "rows")).permutation(len(dataset))
        n = round(self.outside * len(dataset))
        yield cut(dataset, rows[n:], rows[:n], shift="random", domain="random", sizes=self.sizes or Sizes(), key=key)

    def describe(self) -> str:
        """The shift in one line."""
        return "random split: the control, where nothing shifts"


@spec
class LeaveOut:
    """One domain of a column is held out at a time, or everything above a number.

    Of `elements`, `periodic_groups` and `periods` a crystal has several: what is held out then is in no crystal that a
    learner sees.

    Attributes:
      column: Domain column, computed or of the data's own (`matjax.data.memberships`).
      only: Domains to hold out, one split each; None takes every one that is large enough.
      above: For columns of numbers: train where the value is at most this, test above it.
      min_size: Fewest crystals in a domain that is held out, and outside it.
      apart: A column such as `composition` that the two sides must not share: crystals inside with a value that occurs
        outside take no part.
      sizes: How large the parts are; None for the sizes of the run, or `Sizes()`.
    """

    column: str
    only: str | tuple[str, ...] | None = None
    above: float | None = None
    min_size: int = 50
    apart: str | None = None
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        """Refuses two answers to one question."""
        if self.only is not None and self.above is not None:
            raise ValueError(f"leave_out({self.column}) has both only={self.only!r} and above={self.above}; give one")

    def __call__(self, dataset: Dataset, key: jax.Array) -> Iterator[Split]:
        """One split per domain, the largest domain first.

        Raises:
          ValueError: If the column or a domain does not exist, or is too small.
        """
        name = f"leave_out({self.column})"
        if self.above is not None:
            groups = {f"{self.column} > {self.above:g}": self._rows_above(dataset)}
        else:
            belongs = memberships(dataset, self.column)
            known = np.any([*belongs.values()], axis=0) if belongs else np.zeros(len(dataset), bool)
            groups = {domain: (np.flatnonzero(known & ~of), np.flatnonzero(of)) for domain, of in belongs.items()}
        groups = {domain: (kept_apart(dataset, i, o, self.apart), o) for domain, (i, o) in groups.items()}
        named = tuple(groups) if self.above is not None else _named(self.only)
        for domain in _chosen(name, {d: (len(i), len(o)) for d, (i, o) in groups.items()}, named, self.min_size):
            inside, outside = groups[domain]
            yield cut(dataset, inside, outside, shift=name, domain=domain, sizes=self.sizes or Sizes(), key=key)

    def _rows_above(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Rows at most and above the threshold; rows without a number are in neither."""
        values = domain_values(dataset, self.column)
        if values.dtype.kind not in "iuf":
            raise ValueError(f"above={self.above} needs a column of numbers; {self.column!r} holds text such as {str(values[:1])}")
        return np.flatnonzero(values <= self.above), np.flatnonzero(values > self.above)

    def describe(self) -> str:
        """The shift in one line."""
        if self.above is not None:
            return f"trained where {self.column} is at most {self.above:g}, tested above"
        which = ", ".join(_named(self.only)) or "each in turn"
        return f"{self.column} held out: {which}"


@spec
class LeaveElementOut:
    """Every crystal with one element is held out: no training, validation or calibration crystal contains it.

    Attributes:
      elements: Symbols, one split each; None takes every element in enough crystals.
      min_size: Fewest crystals with the element, and without it.
      sizes: How large the parts are; None for the sizes of the run, or `Sizes()`.
    """

    elements: str | tuple[str, ...] | None = None
    min_size: int = 50
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        """Refuses what is no element."""
        for symbol in _named(self.elements):
            number(symbol)

    def __call__(self, dataset: Dataset, key: jax.Array) -> Iterator[Split]:
        """One split per element, the most frequent first.

        Raises:
          ValueError: If an element is in too few crystals.
        """
        belongs = memberships(dataset, "elements")
        counts = {symbol: (int((~has).sum()), int(has.sum())) for symbol, has in belongs.items()}
        for symbol in _chosen("leave_element_out", counts, _named(self.elements), self.min_size):
            inside, outside = np.flatnonzero(~belongs[symbol]), np.flatnonzero(belongs[symbol])
            yield cut(dataset, inside, outside, shift="leave_element_out", domain=symbol, sizes=self.sizes or Sizes(), key=key)

    def describe(self) -> str:
        """The shift in one line."""
        return f"element held out everywhere: {', '.join(_named(self.elements)) or 'each in turn'}"


@spec
class PropertyTail:
    """The crystals with the highest or lowest values of a label are held out.

    Attributes:
      label: Scalar label; the total `energy` counts per atom.
      fraction: Share of the labelled crystals in the tail.
      side: `high` or `low`.
      sizes: How large the parts are; None for the sizes of the run, or `Sizes()`.
    """

    label: str
    fraction: float = 0.1
    side: str = "high"
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        """Refuses unknown sides and fractions outside (0, 1)."""
        _check_fraction("fraction", self.fraction)
        if self.side not in ("high", "low"):
            raise ValueError(f"side={self.side!r} of a property tail; allowed: high, low")

    def __call__(self, dataset: Dataset, key: jax.Array) -> Iterator[Split]:
        """One split; crystals without the label are in no part.

        Raises:
          ValueError: If the label does not exist or is not a scalar.
        """
        if self.label not in dataset.labels:
            raise ValueError(
                f"no label {self.label!r}; available: {', '.join(dataset.labels) or 'none'}{_near(self.label, dataset.labels)}"
            )
        values = np.asarray(dataset.labels[self.label]) if self.label != "forces" else np.empty((0, 0))
        if values.ndim != 1:
            raise ValueError(f"label {self.label!r} is not one number per crystal, so it has no tail")
        if self.label == "energy":
            values = values / np.array([len(crystal) for crystal in dataset.crystals])
        known = np.flatnonzero(np.isfinite(values))
        if not len(known):
            raise ValueError(f"label {self.label!r} is NaN for all {len(values)} crystals; a tail needs numbers")
        order = known[np.argsort(values[known], kind="stable")]
        order = order if self.side == "high" else order[::-1]
        n = len(order) - round(self.fraction * len(order))
        name, domain = f"property_tail({self.label})", f"{'highest' if self.side == 'high' else 'lowest'} {self.fraction:.0%}"
        yield cut(dataset, order[:n], order[n:], shift=name, domain=domain, sizes=self.sizes or Sizes(), key=key)

    def describe(self) -> str:
        """The shift in one line."""
        return f"the {self.fraction:.0%} of crystals with the {self.side}est {self.label} held out"


def _check_fraction(name: str, value: float) -> None:
    """Refuses a share outside (0, 1)."""
    if isinstance(value, (int, float)) and not 0 < value < 1:
        raise ValueError(f"{name}={value} is no share; it must lie between 0 and 1")


def _named(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Names as a tuple; none for None."""
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


def _near(name: str, allowed: Iterable[str]) -> str:
    """A hint at the nearest allowed name, or nothing."""
    nearest = difflib.get_close_matches(name, list(allowed), n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def _chosen(shift: str, counts: dict[str, tuple[int, int]], named: tuple[str, ...], min_size: int) -> list[str]:
    """The domains to hold out: those named, else all that are large enough, the largest first.

    Args:
      shift: Name of the shift, for errors.
      counts: {domain: (crystals inside, crystals outside)}.
      named: Domains asked for; empty for all.
      min_size: Fewest crystals on either side.
    """
    order = sorted(counts, key=lambda domain: (-counts[domain][1], domain))
    sizes = ", ".join(f"{domain} {counts[domain][1]}" for domain in order[:20])
    for domain in named:
        if domain not in counts:
            raise ValueError(f"{shift} has no domain {domain!r}{_near(domain, counts)}; there are: {sizes}")
        if min(counts[domain]) < min_size:
            inside, outside = counts[domain]
            raise ValueError(
                f"{shift}: {domain!r} has {outside} crystals, {inside} remain; both need min_size={min_size} (lower it to go on)"
            )
    large = [domain for domain in order if min(counts[domain]) >= min_size]
    if not large:
        raise ValueError(f"{shift} has no domain with {min_size} crystals on either side; there are: {sizes} (lower min_size to go on)")
    return list(named) or large
