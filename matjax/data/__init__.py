"""Data: reading crystals, telling their domains apart, and splitting them by shift."""

from matjax.data.domains import contains, domain_labels, domain_values, element_counts
from matjax.data.embedded import load
from matjax.data.hygiene import Overlap, overlaps
from matjax.data.matched import matched
from matjax.data.read import describe, read
from matjax.data.readers.pymatgen_structures import from_structures
from matjax.data.shifts import LeaveElementOut, LeaveOut, PropertyTail, Random, Shift
from matjax.data.split import Sizes
from matjax.data.suggest import suggest_domain, suggest_shifts

__all__ = [
    "LeaveElementOut",
    "LeaveOut",
    "Overlap",
    "PropertyTail",
    "Random",
    "Shift",
    "Sizes",
    "contains",
    "describe",
    "domain_labels",
    "domain_values",
    "element_counts",
    "from_structures",
    "load",
    "matched",
    "overlaps",
    "read",
    "suggest_domain",
    "suggest_shifts",
]
