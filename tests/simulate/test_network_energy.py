"""A network on a topology says what it says of a packed graph, in blocks or not, whatever the room."""

import jax
import numpy as np
import pytest

from matjax.nn import GeometryTensor
from matjax.nn.layout import with_room
from matjax.simulate.network import energies, network, packed_alone
from matjax.simulate.network_energy import network_energy
from matjax.simulate.topology import topology


@pytest.mark.parametrize("name", ["morse", pytest.param("blocks", marks=pytest.mark.slow)])
def test_it_is_the_energy_of_the_packed_crystal(name, morse) -> None:
    crystal = morse.alloy(3, (1, 1, 1))
    model = morse.Morse() if name == "morse" else GeometryTensor(cutoff=4.0, n_channel=8, hidden=8)
    graph = packed_alone(crystal, float(model.cutoff))
    init = jax.jit(model.init) if name == "blocks" else model.init
    variables = morse.predictor() if name == "morse" else (model, init(jax.random.key(0), graph))
    known = network(variables)
    n_atom = 6
    near = topology(crystal, float(model.cutoff), n_atom=n_atom, n_edge=n_atom * 100)
    positions = np.full((n_atom, 3), 0.3)  # garbage in the padding
    positions[:4] = crystal.positions
    with jax.enable_x64(True):
        expected = jax.jit(energies, static_argnums=0)(with_room(known.model, graph), known.variables, graph).mean(0)[0]
        energy = network_energy(known, n_atom)
        value, slope = jax.jit(jax.value_and_grad(lambda x: energy(x, crystal.lattice, near)))(positions)
    slope = np.asarray(slope)
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    assert np.all(np.isfinite(slope)) and not np.any(slope[4:]) and np.abs(slope[:4]).max() > 1e-3
    np.testing.assert_allclose(np.sum(slope, 0), 0, atol=1e-10)
