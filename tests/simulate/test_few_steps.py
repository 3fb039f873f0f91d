"""The few-step relaxation against the laboratory's patient one, on the same energy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.simulate.cells import cells, solution
from matjax.simulate.eam import cutoffs, eam_energy
from matjax.simulate.few_steps import Slopes, few_steps
from matjax.simulate.laboratory import Laboratory
from matjax.simulate.prototypes import representative_cell
from matjax.simulate.template import decorate, template
from matjax.simulate.topology import stack, topology

VOLUMES = {"Al": 16.6, "Ni": 10.9, "Cu": 11.8, "Fe": 11.8, "Pd": 14.7}


def eam_potential(cell, crystals):
    """Slopes of the laboratory's energy as a function of scale and displacements."""
    from matjax.types import Crystal

    swollen = [Crystal(c.lattice * 0.97, c.positions * 0.97, c.numbers) for c in crystals]
    found = [topology(c, cutoffs()) for c in swollen]
    room = max(len(t.senders) for t in found)
    stacked = stack([topology(c, cutoffs(), n_edge=room) for c in swollen])
    sites, vectors = cell.frac_coords @ cell.vectors, cell.vectors

    def energy(position, log_volume, scale, one):
        now = scale * jnp.exp(log_volume / 3)
        return eam_energy(position * now, jnp.asarray(vectors, jnp.float32) * now, one)

    slope = jax.vmap(jax.value_and_grad(energy, argnums=(0, 1)), in_axes=(0, None, 0, 0))

    @jax.jit
    def potential(scale, displacements):
        value, (by_position, by_volume) = slope(jnp.asarray(sites, jnp.float32)[None] + displacements, 0.0, scale, stacked)
        return Slopes(value, -by_position / scale[:, None, None], by_volume)

    return potential


@functools.cache
def case(lattice):
    candidate = solution(lattice, {"Al": 4, "Ni": 4, "Cu": 4, "Fe": 4, "Pd": 4})
    cell = representative_cell(lattice)
    crystals = cells(candidate, 3, VOLUMES)
    scale = jnp.asarray([(c.volume / cell.volume_per_atom / len(c)) ** (1 / 3) for c in crystals], jnp.float32)
    return eam_potential(cell, crystals), template(cell, 1.8), scale, jnp.full(len(crystals), 1.0), crystals


@pytest.mark.parametrize("lattice", ["fcc", "bcc", "hcp"])
def test_two_or_three_evaluations_come_close_to_rest(lattice):
    potential, springs, scale, bulk, crystals = case(lattice)
    patient = Laboratory().measure(crystals)
    assert all(r.converged for r in patient)
    rest = np.array([r.labels["energy_per_atom"] for r in patient])
    ideal = np.asarray(potential(scale, jnp.zeros((len(scale), springs.n_atom, 3))).energy) / springs.n_atom
    assert (ideal - rest).min() > 0.01, "the case must have something to relax"
    error = lambda n: np.abs(np.asarray(few_steps(potential, springs, scale, bulk, n_step=n).energy) / springs.n_atom - rest)
    assert error(2).max() < 0.15 * (ideal - rest).max() and error(3).max() < 0.004


def test_a_bad_guess_of_stiffness_and_volume_is_forgiven():
    potential, springs, scale, bulk, _ = case("fcc")
    right = few_steps(potential, springs, scale, bulk, n_step=25).energy
    for factor, shrink in ((0.5, 1.0), (2.0, 1.0), (1.0, 1.015), (1.0, 0.985)):
        found = few_steps(potential, springs, scale * shrink, bulk * factor, n_step=4)
        assert np.abs(np.asarray(found.energy - right)).max() / springs.n_atom < 0.006, (factor, shrink)


def test_decorated_templates_have_the_edges_of_the_crystal():
    from matjax.graph import to_graph

    cell = representative_cell("hcp")
    crystal = cells(solution("hcp", {"Al": 5, "Ni": 15}), 1, VOLUMES)[0]
    scale = (crystal.volume / len(crystal) / cell.volume_per_atom) ** (1 / 3)
    reach = 1.5
    graph = decorate(
        template(cell, reach), jnp.asarray(crystal.numbers)[None], jnp.array([scale], jnp.float32), jnp.zeros((1, len(cell), 3))
    )
    wanted = to_graph(crystal, cutoff=reach * scale)
    order = lambda g: sorted(zip(g.receivers.tolist(), g.senders.tolist(), np.round(np.asarray(g.edges.vectors), 3).tolist(), strict=True))
    assert order(graph) == order(wanted)
    assert float(graph.globals.volume[0]) == pytest.approx(crystal.volume, rel=1e-5)


def test_no_step_is_no_answer():
    with pytest.raises(ValueError, match="at least one evaluation"):
        few_steps(*case("fcc")[:4], n_step=0)
