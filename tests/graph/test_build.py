"""A crystal becomes a graph: labels, masks and units survive the door."""

import numpy as np
import pytest

from matjax.graph import to_graph, to_graphs
from matjax.types import Crystal, Dataset

CRYSTAL = Crystal(-3 * np.eye(3), np.array([[0, 0, 0.0], [1.5, 1.5, 1.5]]), np.array([55, 17]))


def test_labels_are_carried_and_flagged() -> None:
    forces, stress = np.arange(6.0).reshape(2, 3), np.arange(9.0).reshape(3, 3)
    graph = to_graph(CRYSTAL, cutoff=4.0, energy=-2.5, forces=forces, stress=stress, domain=3, held_from=5, index=9)
    g = graph.globals
    assert (g.energy[0], g.has_energy[0], g.has_forces[0], g.has_stress[0]) == (-2.5, 1, 1, 1)
    assert (g.domain[0], g.held_from[0], g.index[0], g.weight[0], g.mask[0]) == (3, 5, 9, 1, True)
    np.testing.assert_array_equal(graph.nodes.forces, forces)
    np.testing.assert_array_equal(g.stress[0], stress)
    np.testing.assert_array_equal(graph.nodes.numbers, [55, 17])
    assert g.volume[0] == pytest.approx(27.0), "the volume of a left-handed cell is positive"
    assert graph.n_node[0] == 2 and graph.n_edge[0] == len(graph.senders) == len(graph.edges.vectors)


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_an_absent_label_becomes_zero_and_is_not_flagged(hole: float) -> None:
    forces, stress = np.ones((2, 3)), np.ones((3, 3))
    forces[1, 2] = stress[0, 0] = hole
    graph = to_graph(CRYSTAL, cutoff=4.0, energy=hole, forces=forces, stress=stress)
    g = graph.globals
    assert g.has_energy[0] == g.has_forces[0] == g.has_stress[0] == 0
    assert not graph.nodes.forces.any() and not g.stress.any() and g.energy[0] == 0


def test_many_graphs_know_their_row(flla: Dataset) -> None:
    graphs = to_graphs(flla.crystals[:3], cutoff=4.0)
    assert [int(g.globals.index[0]) for g in graphs] == [0, 1, 2]
    assert all(g.globals.has_energy[0] == 0 for g in graphs)
