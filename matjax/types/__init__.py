"""The nouns of matjax: what a crystal, a data set, a split, a graph, a prediction *is*.

Two worlds meet here. Outside are host nouns (frozen dataclasses, NumPy, ragged): `Crystal`, `Dataset`,
`Split`, `Prediction`. Inside are device nouns (NamedTuples of arrays with static shapes): `Graph`, `Output`,
`Outcome`. The nouns import nothing else of matjax; every room imports them.

Units: Å, eV, eV/Å, eV/Å³, K. Lattice vectors are rows: x = f @ lattice.
"""

from matjax.types.candidate import STATUS, Candidate, Result
from matjax.types.crystal import Crystal
from matjax.types.dataset import Dataset, Metadata, Split, Visible
from matjax.types.graph import Array, Edges, Globals, Graph, Nodes, Outcome, Output
from matjax.types.prediction import Prediction

__all__ = [
    "STATUS",
    "Array",
    "Candidate",
    "Crystal",
    "Dataset",
    "Edges",
    "Globals",
    "Graph",
    "Metadata",
    "Nodes",
    "Outcome",
    "Output",
    "Prediction",
    "Result",
    "Split",
    "Visible",
]
