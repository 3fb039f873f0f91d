"""The door into the device world: a crystal becomes a graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from matjax.graph.neighbours import Neighbours, neighbours
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
    found: Neighbours | None = None,
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
      found: Its neighbours within the cutoff, where they are known already.

    Returns:
      A graph of NumPy arrays (float32, int32), edges sorted by receiver.
    """
    found = neighbours(crystal, cutoff, np.float32) if found is None else found
    n_atom, n_edge = len(crystal), len(found.senders)
    has_energy = math.isfinite(energy)
    has_forces = forces is not None and bool(np.isfinite(forces).all())
    has_stress = stress is not None and bool(np.isfinite(stress).all())
    reals = (energy if has_energy else 0.0, has_energy, has_forces, has_stress, crystal.volume, 1.0, charge)
    rows = np.array(reals, np.float32)[:, None]  # one array and its rows instead of many small ones
    counts = np.array((domain, held_from, index, fidelity, n_atom, n_edge), np.int32)[:, None]
    return Graph(
        nodes=Nodes(
            numbers=np.asarray(crystal.numbers, np.int32),
            forces=np.asarray(forces, np.float32) if has_forces else np.zeros((n_atom, 3), np.float32),
            mask=np.ones(n_atom, bool),
            targets={name: _filled(value) for name, value in atom_targets.items()},
        ),
        edges=Edges(found.vectors, found.pair, found.first),
        senders=found.senders,
        receivers=found.receivers,
        globals=Globals(
            energy=rows[0],
            has_energy=rows[1],
            has_forces=rows[2],
            stress=np.asarray(stress, np.float32)[None] if has_stress else np.zeros((1, 3, 3), np.float32),
            has_stress=rows[3],
            volume=rows[4],
            domain=counts[0],
            held_from=counts[1],
            weight=rows[5],
            index=counts[2],
            mask=np.ones(1, bool),
            fidelity=counts[3],
            charge=rows[6],
            targets={name: _filled(value)[None] for name, value in targets.items()},
            has={name: np.array([np.isfinite(value).all()], np.float32) for name, value in {**targets, **atom_targets}.items()},
        ),
        n_node=counts[4],
        n_edge=counts[5],
    )


def _filled(label: np.ndarray) -> np.ndarray:
    """A label as float32, all zero where any of it is absent."""
    label = np.asarray(label, np.float32)
    return label if np.isfinite(label).all() else np.zeros_like(label)


def to_graphs(crystals: Sequence[Crystal], *, cutoff: float) -> list[Graph]:
    """Unlabelled graphs of many crystals, indexed by their place in the list."""
    return [to_graph(crystal, cutoff=cutoff, index=i) for i, crystal in enumerate(crystals)]
