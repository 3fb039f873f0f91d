"""Rows of a stress test, paired: the same domain and seed, a method and what it is held against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Domain = tuple[str, str]
"""(shift, domain): what was held out."""

Entry = tuple[str, str]
"""(method, level of information): what is compared. The same method that saw more is another entry."""

POOLED = "all families"


def domain_of(row: Row) -> Domain:
    """What the row held out."""
    return str(row["shift"]), str(row["domain"])


def entry_of(row: Row) -> Entry:
    """Method and level of information of a row; L0 where it does not say."""
    return str(row["method"]), str(row.get("information") or "L0")


def shifted(rows: Iterable[Row]) -> list[Row]:
    """The rows in which something was held out: all but the random control and the property tails' twin of it.

    Raises:
      ValueError: If there are none.
    """
    held = [row for row in rows if not str(row["shift"]).startswith("random")]
    if not held:
        raise ValueError("no rows of a shift to compare; the random control says nothing about new domains")
    return held


def families(rows: Sequence[Row], by: str) -> dict[str, list[Domain]]:
    """{family: its domains} by a column of the rows, and all of them where there are several; property tails are not pooled."""
    of_domain = {domain_of(row): str(row.get(by)) for row in reversed(rows)}
    found = {name: [d for d, family in of_domain.items() if family == name] for name in dict.fromkeys(reversed(of_domain.values()))}
    pooled = {name: [d for d in domains if not d[0].startswith("property_tail")] for name, domains in found.items()}
    several = sum(map(bool, pooled.values())) > 1
    return found | ({POOLED: [d for domains in pooled.values() for d in domains]} if several else {})


def held_against(entry: Entry, reference: str, entries: Sequence[Entry]) -> Entry | None:
    """What an entry is compared with: the reference of its own level of information, else of the lowest level.

    The reference itself is compared with its lowest level (what the information was worth), and that with nothing.

    Raises:
      ValueError: If the reference was not run.
    """
    levels = sorted(level for method, level in entries if method == reference)
    if not levels:
        raise ValueError(f"no rows of the reference {reference!r}; there are {', '.join(sorted({m for m, _ in entries}))}")
    own, lowest = (reference, entry[1]), (reference, levels[0])
    against = own if own in entries and entry != own else lowest
    return None if against == entry else against


def paired_rows(rows: Sequence[Row], entry: Entry, against: Entry, metric: str) -> dict[Domain, list[tuple[Row, Row]]]:
    """{domain: (row, row of the other), one per seed that both have}, for domains with at least one.

    Raises:
      ValueError: If a seed has two rows, or the metric is not a positive number.
    """
    ours, theirs = _by_seed(rows, entry, metric), _by_seed(rows, against, metric)
    shared = {d: sorted(ours[d].keys() & theirs[d].keys(), key=str) for d in ours if d in theirs}
    return {d: [(ours[d][seed], theirs[d][seed]) for seed in seeds] for d, seeds in shared.items() if seeds}


def _by_seed(rows: Sequence[Row], entry: Entry, metric: str) -> dict[Domain, dict[Any, Row]]:
    found: dict[Domain, dict[Any, Row]] = {}
    for row in rows:
        if entry_of(row) != entry or row.get(metric) is None:
            continue
        if not (math.isfinite(row[metric]) and row[metric] > 0):
            raise ValueError(f"{metric} of {entry[0]} on {row['domain']} is {row[metric]}; log-ratios need positive numbers")
        seeds = found.setdefault(domain_of(row), {})
        if row.get("seed", 0) in seeds:
            raise ValueError(f"{entry[0]} on {row['shift']}, {row['domain']} has two rows of seed {row.get('seed', 0)}")
        seeds[row.get("seed", 0)] = row
    return found
