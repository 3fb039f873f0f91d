"""Many crystals at once against one at a time, a network against the same energy as a function, and crystals that are not at rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.nn.radial import envelope
from matjax.simulate import edge_vectors, elastic_constants, elastic_tensor, relax, stack, topology
from matjax.thermo import born, point_group_rotations, symmetrise
from matjax.types import Crystal

CUTOFF = 5.0
DEPTH = np.mean([0.30, 0.35, 0.42])


def bond(positions, lattice, topology):
    """The bond of the Morse network of this room, as a function of positions, lattice and topology."""
    r = jnp.linalg.norm(edge_vectors(positions, lattice, topology), axis=-1)
    z = topology.numbers.astype(r.dtype)
    rest = 2.45 + 0.006 * (z[topology.senders] + z[topology.receivers])
    return 0.5 * DEPTH * jnp.sum((jnp.square(1 - jnp.exp(-1.8 * (r - rest))) - 1) * envelope(r / CUTOFF))


@pytest.fixture(scope="module")
def at_rest(morse):
    """Two crystals of four atoms and one of eight, relaxed in float64."""
    found = []
    for crystal in (morse.alloy(0, (1, 1, 1)), morse.alloy(1, (1, 1, 1)), morse.alloy(2, (2, 1, 1))):
        near = topology(crystal, CUTOFF + 0.5, n_atom=8, n_edge=8 * 120)
        x = np.zeros((1, 8, 3))
        x[0, : len(crystal)] = crystal.positions
        with jax.enable_x64(True):
            rest = relax(bond, x, crystal.lattice[None], stack([near]), cell="full", max_force=1e-6, max_stress=1e-8, n_step=300)
        assert rest.converged[0]
        found.append(Crystal(rest.lattice[0], rest.positions[0, : len(crystal)], crystal.numbers))
    return found


@pytest.fixture(scope="module")
def measured(at_rest, morse):
    """By a network: also crystals that are not at rest, and some that cannot be measured."""
    shaken = Crystal(at_rest[0].lattice, at_rest[0].positions + [[0.1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], at_rest[0].numbers)
    squeezed = Crystal(at_rest[0].lattice * 0.98, at_rest[0].positions * 0.98, at_rest[0].numbers)
    slab = Crystal(at_rest[0].lattice, at_rest[0].positions, at_rest[0].numbers, [True, True, False])
    nothing = Crystal(np.eye(3), np.zeros((0, 3)), [])
    with jax.enable_x64(True):
        return elastic_constants(morse.predictor(), [at_rest[2], shaken, at_rest[0], slab, squeezed, at_rest[1], nothing], chunk=2)


def test_many_by_a_network_are_as_one_at_a_time_by_the_same_energy(at_rest, measured) -> None:
    tensor = jax.jit(elastic_tensor, static_argnums=(0, 4))
    near = [topology(crystal, CUTOFF, n_atom=8, n_edge=8 * 120) for crystal in at_rest]
    for row, crystal, found in zip((2, 5, 0), at_rest, near, strict=True):
        x = np.zeros((8, 3))
        x[: len(crystal)] = crystal.positions
        with jax.enable_x64(True):
            alone = np.asarray(tensor(bond, x, crystal.lattice, found, True))
        assert measured[row].converged and measured[row].crystal is crystal
        np.testing.assert_allclose(measured[row].elastic, alone, rtol=1e-4, atol=1e-5)
        assert float(born(measured[row].elastic)) > 0
        averaged = symmetrise(alone, point_group_rotations(crystal))
        np.testing.assert_allclose(alone, averaged, atol=2e-2)  # symmetric as far as the crystal is


def test_what_is_not_at_rest_has_no_constants(measured) -> None:
    _, shaken, _, slab, squeezed, _, nothing = measured
    assert shaken.status == "unconverged" and shaken.elastic is None and shaken.evidence["max_force"] > 0.02
    assert squeezed.status == "unconverged" and squeezed.evidence["max_stress"] > 3e-3 and "relax it first" in squeezed.error
    assert slab.status == "failed" and "periodic" in slab.error
    assert nothing.status == "failed" and "no atoms" in nothing.error


@pytest.mark.slow
def test_an_energy_is_measured_as_the_network_that_it_is(at_rest, measured) -> None:
    with jax.enable_x64(True):
        said = elastic_constants(bond, at_rest[:2], cutoff=CUTOFF, chunk=2)
    for ours, row in zip(said, (2, 5), strict=True):
        assert ours.elastic is not None
        np.testing.assert_allclose(ours.elastic, measured[row].elastic, rtol=1e-4, atol=1e-5)
    table = np.zeros((119, 119))
    table[13, 13] = CUTOFF
    lacking = elastic_constants(bond, [Crystal(np.eye(3) * 4, np.zeros((1, 3)), [29])], cutoff=table)
    assert lacking[0].status == "failed" and "no cutoff for Cu" in lacking[0].error


def test_wrong_input(morse) -> None:
    with pytest.raises(ValueError, match="a potential is a trained predictor"):
        elastic_constants(bond, [])
    with pytest.raises(ValueError, match="a cutoff of its own"):
        elastic_constants((morse.Morse(), {}), [], cutoff=5.0)
