"""Mondrian conformal intervals: a factor of its own for every group of crystals, such as certificate class or number of elements."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from matjax.config import spec
from matjax.uncertainty.conformal import Interval, SplitConformal, n_domain_needed
from matjax.uncertainty.leave_domain_out import LeaveDomainOut

UNSEEN = ("refuse", "abstain")


@dataclasses.dataclass(frozen=True, eq=False)
class MondrianInterval:
    """A fitted `Mondrian`.

    Attributes:
      intervals: {group: its interval}; groups that were merged share one.
      merged: Groups that share an interval, for every interval.
      unseen: What becomes of a group that calibration did not have.
    """

    intervals: Mapping[str, Interval]
    merged: tuple[tuple[str, ...], ...]
    unseen: str

    @property
    def guarantee(self) -> str:
        """What is promised for every group, in words."""
        return "; ".join(f"{' + '.join(names)}: {self.intervals[names[0]].guarantee}" for names in self.merged)

    def half_width(self, group: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
        """Half-width per crystal [n], in the label's unit; infinite means that the interval abstains.

        Args:
          group: Group of each crystal [n].
          scale: What the errors were divided by in calibration [n]; one where left out.

        Raises:
          ValueError: If calibration did not have a group, unless its crystals shall abstain, or the shapes differ.
        """
        group = np.asarray(group).astype(str)
        scale = np.ones(len(group)) if scale is None else np.asarray(scale, np.float64)
        if group.shape != scale.shape:
            raise ValueError(f"{len(scale)} scales for {len(group)} groups; there must be one per crystal")
        missing = sorted(set(group.tolist()) - set(self.intervals))
        if missing and self.unseen == "refuse":
            raise ValueError(
                f"no calibration crystal is of group {', '.join(map(repr, missing))}; calibrated: {', '.join(sorted(self.intervals))}. "
                "Calibrate with crystals of it, let them abstain (unseen='abstain'), or use LeaveDomainOut, whose promise is for new groups"
            )
        out = np.full(len(group), np.inf)
        for name, interval in self.intervals.items():
            out[group == name] = interval.half_width(scale[group == name])
        return out


@spec
class Mondrian:
    """Coverage inside every group, not only on average over them.

    The method is calibrated for each group alone. Groups that are too small for the level are merged, smallest first and with the next
    smallest, until what is merged is large enough; the promise then holds for the merged group. Groups are judged by
    their counts, never by errors, so that merging costs no coverage.

    With `LeaveDomainOut` the groups are kinds of domains (certificate classes: how far a domain is out), each calibrated on the
    domains of its kind; what counts is the number of domains.

    Attributes:
      method: What is calibrated per group.
      fewest: Crystals (domains, for `LeaveDomainOut`) that a group needs to stand alone; 0 for what the level needs: 9 for 90%.
      unseen: What becomes of a crystal whose group calibration did not have: "refuse" raises, "abstain" gives an infinite interval.

    Example:
      >>> group = np.repeat(["binary", "ternary"], 20)
      >>> interval = Mondrian(SplitConformal(0.9)).fit(np.repeat([0.1, 0.3], 20), group)
      >>> interval.half_width(np.array(["ternary", "binary"]))
      array([0.3, 0.1])

    Source:
      Vovk, Lindsay, Nouretdinov & Gammerman (2003), Mondrian confidence machine; Vovk (2012), arXiv 1209.2673, section 3.
    """

    method: SplitConformal | LeaveDomainOut = SplitConformal()
    fewest: int = 0
    unseen: str = "refuse"

    def __post_init__(self) -> None:
        """Checks the policy."""
        if self.unseen not in UNSEEN:
            raise ValueError(f"unseen is {self.unseen!r}; allowed: {', '.join(map(repr, UNSEEN))}")

    def fit(
        self, error: np.ndarray, group: np.ndarray, scale: np.ndarray | None = None, *, domain: np.ndarray | None = None
    ) -> MondrianInterval:
        """Calibrates every group.

        Args:
          error: Errors [n], in the label's unit, as the method wants them.
          group: Group of each crystal [n].
          scale: Positive scale per crystal [n]; one where left out.
          domain: Domain of each error [n], for `LeaveDomainOut`.

        Raises:
          ValueError: If domains are missing or in excess, shapes differ, or all groups together are too few for the level.
        """
        error, group = np.asarray(error, np.float64), np.asarray(group).astype(str)
        by_domain = isinstance(self.method, LeaveDomainOut)
        if by_domain != (domain is not None):
            raise ValueError("LeaveDomainOut needs the domain of each error, and SplitConformal has no use for one")
        unit = np.arange(len(group)) if domain is None else np.asarray(domain).astype(str)
        if not error.shape == group.shape == unit.shape:
            raise ValueError(f"{len(error)} errors, {len(group)} groups and {len(unit)} domains; there must be one each per crystal")
        needed = self.fewest or n_domain_needed(self.method.level)
        merged = _merged({name: set(unit[group == name].tolist()) for name in np.unique(group).tolist()}, needed)
        intervals: dict[str, Interval] = {}
        for names in merged:
            rows = np.isin(group, names)
            part = None if scale is None else np.asarray(scale)[rows]
            fitted = (
                self.method.fit(error[rows], unit[rows], part)
                if isinstance(self.method, LeaveDomainOut)
                else self.method.fit(error[rows], part)
            )
            intervals |= dict.fromkeys(names, fitted)
        return MondrianInterval(intervals, merged, self.unseen)


def _merged(members: Mapping[str, set[str]], needed: int) -> tuple[tuple[str, ...], ...]:
    """Groups of groups with `needed` members each, if all together have so many: the smallest joins the next smallest, and again."""
    parts: list[tuple[tuple[str, ...], set[str]]] = [((name,), inside) for name, inside in members.items()]
    while len(parts) > 1:
        parts.sort(key=lambda part: (len(part[1]), part[0]))
        (names, inside), (other, more) = parts[:2]
        if len(inside) >= needed:
            break
        parts[:2] = [(tuple(sorted(names + other)), inside | more)]
    return tuple(sorted(names for names, _ in parts))
