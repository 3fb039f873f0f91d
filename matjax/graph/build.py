"""The door into the device world: a crystal becomes a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from matjax.graph.neighbours import neighbours
from matjax.types import Crystal, Edges, Globals, Graph, Nodes


def to_graph(
    crystal: Crystal,
    *,
    cutoff: float,
    energy: float = np.nan,
    forces: np.ndarray | None = None,
    stress: np.ndarray | None = None,
    domain: int = 0,
    held_from: int = 0,
    index: int = 0,
    fidelity: int = 0,
    charge: float = 0.0,
    targets: Mapping[str, np.ndarray] = {},
    atom_targets: Mapping[str, np.ndarray] = {},
) -> Graph:
    """The graph of one crystal: atoms are nodes, neighbours within the cutoff are edges.

    Args:
      crystal: The crystal.
      cutoff: In Å.
      energy: Label in eV above the references; NaN where unlabelled.
      forces: Label [n_atom, 3], eV/Å; None or NaN where unlabelled.
      stress: Label [3, 3], eV/Å³; None or NaN where unlabelled.
      domain: Integer domain.
      held_from: Bit m is set where ensemble member m must not train on this crystal.
      index: Row of the crystal in its data set.
      fidelity: Integer level of theory that the answer is conditioned on.
      charge: Total-charge-like number that the answer is conditioned on.
      targets: {head: label} of heads that answer per crystal, any shape; NaN where unlabelled.
      atom_targets: {head: [n_atom, ...]} of heads that answer per atom; NaN where unlabelled.

    Returns:
      A graph of NumPy arrays (float32, int32), edges sorted by receiver.
    """
    found = neighbours(crystal, cutoff)
    has_forces = forces is not None and bool(np.isfinite(forces).all())
    has_stress = stress is not None and bool(np.isfinite(stress).all())
    n_atom = len(crystal)
    row = lambda value, dtype="float32": np.asarray([value], dtype)
    return Graph(
        nodes=Nodes(
            numbers=np.asarray(crystal.numbers, np.int32),
            forces=np.asarray(forces if has_forces else np.zeros((n_atom, 3)), np.float32),
            mask=np.ones(n_atom, bool),
            targets={name: _filled(value) for name, value in atom_targets.items()},
        ),
        edges=Edges(found.vectors.astype(np.float32), found.pair, found.first),
        senders=found.senders,
        receivers=found.receivers,
        globals=Globals(
            energy=row(energy if np.isfinite(energy) else 0.0),
            has_energy=row(np.isfinite(energy)),
            has_forces=row(has_forces),
            stress=np.asarray(stress if has_stress else np.zeros((3, 3)), np.float32)[None],
            has_stress=row(has_stress),
            volume=row(crystal.volume),
            domain=row(domain, "int32"),
            held_from=row(held_from, "int32"),
            weight=row(1.0),
            index=row(index, "int32"),
            mask=row(True, "bool"),
            fidelity=row(fidelity, "int32"),
            charge=row(charge),
            targets={name: _filled(value)[None] for name, value in targets.items()},
            has={name: row(np.isfinite(value).all()) for name, value in {**targets, **atom_targets}.items()},
        ),
        n_node=row(n_atom, "int32"),
        n_edge=row(len(found.senders), "int32"),
    )


def _filled(label: np.ndarray) -> np.ndarray:
    """A label as float32, all zero where any of it is absent."""
    label = np.asarray(label, np.float32)
    return label if np.isfinite(label).all() else np.zeros_like(label)


def to_graphs(crystals: Sequence[Crystal], *, cutoff: float) -> list[Graph]:
    """Unlabelled graphs of many crystals, indexed by their place in the list."""
    return [to_graph(crystal, cutoff=cutoff, index=i) for i, crystal in enumerate(crystals)]
