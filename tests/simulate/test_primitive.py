import numpy as np
import pytest
from ase.build import bulk, make_supercell

from matjax.data.convert import from_ase
from matjax.simulate.primitive import primitive
from matjax.types import Crystal


@pytest.mark.parametrize(("symbol", "structure", "n_atom"), [("Cu", "fcc", 1), ("Fe", "bcc", 1), ("Mg", "hcp", 2), ("NaCl", "rocksalt", 2)])
def test_supercells_and_conventional_cells_come_down_to_it(symbol, structure, n_atom):
    atoms = bulk(symbol, structure, a=4.0)
    large = from_ase(make_supercell(atoms, [[2, 0, 0], [0, 1, 0], [1, 0, 2]]))
    found = primitive(large)
    assert len(found) == n_atom
    assert found.volume / n_atom == pytest.approx(large.volume / len(large))
    steps = np.linalg.solve(found.lattice.T, large.lattice.T)  # the large cell is made of whole primitive vectors: same orientation
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)


def test_a_slab_has_none():
    with pytest.raises(ValueError, match="periodic along a, b and c"):
        primitive(Crystal(np.eye(3) * 4, np.zeros((1, 3)), np.array([29]), np.array([True, True, False])))
