"""Which shifts a data set can be put through, when nobody named one."""

from __future__ import annotations

from collections import Counter

import numpy as np

from matjax.data.domains import ANIONS, COMPUTED, UNKNOWN, domain_labels, domain_values, element_counts
from matjax.data.elements import SYMBOLS, number
from matjax.data.shifts import LeaveElementOut, LeaveOut, PropertyTail, Random, Shift
from matjax.data.split import Sizes
from matjax.types import Dataset

FEWEST = 20  # crystals that make a domain worth a row of the report
FEWEST_ABOVE = 10  # the few large cells of an alloy set are its point
MOST_SHIFTS = 5
MOST_GROUPS = 50  # a metadata column with more is an identifier
PREFERRED_ANIONS = ("nitride", "fluoride", "sulfide", "chloride", "oxide")
PREFERRED_SYSTEMS = ("cubic", "hexagonal", "tetragonal", "orthorhombic", "trigonal", "monoclinic", "triclinic")

Suggestion = tuple[Shift, str] | None


def suggest_shifts(dataset: Dataset, sizes: Sizes | None = None) -> tuple[list[Shift], str]:
    """Sensible shifts for a data set, the random control first.

    Compounds of several anion classes get an anion class, a crystal system and an element held out; alloys get the
    crystals with most elements held out; what the data's own columns distinguish is held out too; where nothing
    differs, the tail of the first label. Each domain is the first of a fixed order of preference, or the largest.

    Args:
      dataset: The crystals.
      sizes: How large the parts are.

    Returns:
      The shifts, at most five, and the reason for each in words.
    """
    compounds = _anion(dataset, sizes)
    found = [compounds or _n_elements(dataset, sizes), _crystal_system(dataset, sizes)]
    found += [_element(dataset, sizes), *(_column(dataset, column, sizes) for column in dataset.domains if column not in COMPUTED)]
    chosen = [suggestion for suggestion in found if suggestion is not None] or _tail(dataset, sizes)
    chosen = [(Random(sizes=sizes), "random: the control"), *chosen][:MOST_SHIFTS]
    return [shift for shift, _ in chosen], "; ".join(reason for _, reason in chosen)


def suggest_domain(dataset: Dataset) -> str:
    """The domain column that a robust risk should see when nobody named one.

    The first of: anion class, the data's own columns of text, number of elements, that tells at least three groups of two
    percent of the crystals apart; else the number of elements.
    """
    own = [column for column in dataset.domains if column not in COMPUTED and domain_values(dataset, column).dtype.kind in "UO"]
    for column in ("anion", *own, "n_elements"):
        labels = domain_labels(dataset, column)
        names, counts = np.unique(labels[labels != UNKNOWN], return_counts=True)
        if (counts >= 0.02 * len(dataset)).sum() >= 3 and len(names) <= MOST_GROUPS:
            return column
    return "n_elements"


def _groups(labels: np.ndarray) -> dict[str, int]:
    """Groups that can be held out, largest first: large enough, and at most half of the crystals."""
    counts = Counter(str(label) for label in labels if label != UNKNOWN)
    order = sorted(counts, key=lambda group: (-counts[group], group))
    return {group: counts[group] for group in order if FEWEST <= counts[group] <= len(labels) / 2}


def _anion(dataset: Dataset, sizes: Sizes | None) -> Suggestion:
    """An anion class, where at least three can be held out."""
    groups = {group: n for group, n in _groups(domain_labels(dataset, "anion")).items() if group in ANIONS.values()}
    if len(groups) < 3:
        return None
    only = next((group for group in PREFERRED_ANIONS if group in groups), next(iter(groups)))
    reason = f"anion: {len(groups)} classes of at least {FEWEST} crystals, {only} ({groups[only]}) held out"
    return LeaveOut("anion", only=only, min_size=FEWEST, sizes=sizes), reason


def _n_elements(dataset: Dataset, sizes: Sizes | None) -> Suggestion:
    """The crystals with most elements."""
    values = domain_values(dataset, "n_elements")
    thresholds = [k for k in np.unique(values)[:-1] if (values > k).sum() >= FEWEST_ABOVE and (values <= k).sum() >= FEWEST]
    if not thresholds:
        return None
    k = int(thresholds[-1])
    reason = f"n_elements: {(values <= k).sum()} crystals of at most {k} elements, {(values > k).sum()} of more held out"
    return LeaveOut("n_elements", above=float(k), min_size=FEWEST_ABOVE, sizes=sizes), reason


def _crystal_system(dataset: Dataset, sizes: Sizes | None) -> Suggestion:
    """A crystal system, for structures that have one: frames off equilibrium do not."""
    if "forces" in dataset.labels or dataset.metadata.structures == "unrelaxed":
        return None
    groups = _groups(domain_labels(dataset, "crystal_system"))
    if len(groups) < 3:
        return None
    only = next(group for group in PREFERRED_SYSTEMS if group in groups)
    reason = f"crystal_system: {len(groups)} systems of at least {FEWEST} crystals, {only} ({groups[only]}) held out"
    return LeaveOut("crystal_system", only=only, min_size=FEWEST, sizes=sizes), reason


def _element(dataset: Dataset, sizes: Sizes | None) -> Suggestion:
    """The most frequent element in at most a tenth of the crystals that is no anion, where elements are many."""
    n_with = (element_counts(dataset) > 0).sum(0)
    n_with[[number(symbol) for symbol in ANIONS]] = 0
    n_with[n_with > len(dataset) / 10] = 0
    if (n_with >= FEWEST).sum() < 8:
        return None
    z = int(n_with.argmax())
    reason = f"element: {(n_with >= FEWEST).sum()} in at least {FEWEST} crystals, {SYMBOLS[z]} ({n_with[z]}) held out"
    return LeaveElementOut(SYMBOLS[z], min_size=FEWEST, sizes=sizes), reason


def _column(dataset: Dataset, column: str, sizes: Sizes | None) -> Suggestion:
    """The largest group of a metadata column that tells 2 to 50 groups apart."""
    if domain_values(dataset, column).dtype.kind == "f":  # a property that the file also holds, not where a crystal comes from
        return None
    labels = domain_labels(dataset, column)
    groups = _groups(labels)
    if not 2 <= len(set(labels.tolist())) <= MOST_GROUPS or not groups:
        return None
    only = next(iter(groups))
    reason = f"{column}: {len(groups)} groups of at least {FEWEST} crystals, {only} ({groups[only]}) held out"
    return LeaveOut(column, only=only, min_size=FEWEST, sizes=sizes), reason


def _tail(dataset: Dataset, sizes: Sizes | None) -> list[tuple[Shift, str]]:
    """The tail of the first scalar label."""
    scalar = [name for name, column in dataset.labels.items() if isinstance(column, np.ndarray) and column.ndim == 1]
    return (
        [(PropertyTail(scalar[0], sizes=sizes), f"no domains to tell apart: the highest tenth of {scalar[0]} held out")] if scalar else []
    )
