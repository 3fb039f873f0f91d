"""Data: reading crystals, telling their domains apart, and splitting them by shift."""

from matjax.data.clusters import cluster_labels
from matjax.data.domains import contains, domain_labels, domain_values, element_counts
from matjax.data.embedded import load
from matjax.data.exposure import Exposure, exposure
from matjax.data.forward_chaining import ForwardChaining
from matjax.data.group_folds import GroupFolds
from matjax.data.hygiene import Overlap, overlaps
from matjax.data.label_units import check_label_units
from matjax.data.matched import matched
from matjax.data.memberships import memberships
from matjax.data.read import describe, read
from matjax.data.readers.pymatgen_structures import from_structures
from matjax.data.shifts import LeaveElementOut, LeaveOut, PropertyTail, Random, Shift
from matjax.data.split import Sizes
from matjax.data.suggest import suggest_domain, suggest_shifts

__all__ = [
    "ForwardChaining",
    "GroupFolds",
    "Exposure",
    "LeaveElementOut",
    "LeaveOut",
    "Overlap",
    "PropertyTail",
    "Random",
    "Shift",
    "Sizes",
    "check_label_units",
    "cluster_labels",
    "contains",
    "describe",
    "domain_labels",
    "domain_values",
    "element_counts",
    "exposure",
    "from_structures",
    "load",
    "matched",
    "memberships",
    "overlaps",
    "read",
    "suggest_domain",
    "suggest_shifts",
]
