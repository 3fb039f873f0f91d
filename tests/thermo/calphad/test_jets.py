"""Energies with derivatives from tables of monomials, against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.calphad.database import database
from matjax.thermo.calphad.function import constant
from matjax.thermo.calphad.jets import coefficients, jet, jets, mixing, value
from matjax.thermo.calphad.phase import Parameter, Phase
from matjax.thermo.calphad.system import System, energy
from matjax.thermo.host import float64


@pytest.fixture(autouse=True)
def _float64():
    with float64():
        yield


def ordered() -> System:
    """A magnetic phase with two sublattices, vacancies, interactions on both, and a disordered part."""
    pairs = [("A", "A"), ("A", "B"), ("B", "A"), ("B", "B"), ("A", "Va"), ("B", "Va"), ("Va", "A"), ("Va", "B"), ("Va", "Va")]
    ends = [Parameter(((a,), (b,)), constant(-0.1 * k)) for k, (a, b) in enumerate(pairs)]
    mixed = [Parameter((("A", "B"), ("A",)), constant(0.07), 1), Parameter((("A", "B"), ("A", "B")), constant(-0.05), 0)]
    flat = [Parameter((("A",),), constant(0.02)), Parameter((("B",),), constant(0.03)), Parameter((("Va",),), constant(0.9))]
    flat += [Parameter((("A", "B"),), constant(0.11), k) for k in range(3)]
    flat += [Parameter((("A",),), constant(900.0), 0, "TC"), Parameter((("A",),), constant(1.9), 0, "BMAGN")]
    flat += [Parameter((("A", "B"),), constant(-400.0), 1, "TC")]
    disordered = Phase("A2", (1.0,), (("A", "B", "Va"),), tuple(flat), (0.4, -1.0))
    phase = Phase("B2", (0.5, 0.5), (("A", "B", "Va"),) * 2, tuple(ends + mixed), None, disordered)
    return database([phase], ("A", "B"), {"A": {"A": 1.0}, "B": {"B": 1.0}}, temperature_range=(100.0, 2000.0)).system


def test_jets_are_energy_gradient_and_hessian_along_the_sublattices():
    system, temperature = ordered(), 700.0
    tables, own = jets(system), np.asarray(system.sublattice[0])
    y = np.concatenate([np.random.default_rng(0).dirichlet(np.ones(3)) for _ in range(2)])
    along = np.eye(len(y)) - (own[:, None] == own[None, :]) / 3

    def both(y):
        at = jet(tables, system, 0, y, temperature, coefficients(tables, system, 0, temperature))
        whole = lambda y: energy(system, 0, y, temperature)
        lone = value(tables, system, 0, y, temperature, coefficients(tables, system, 0, temperature))
        return at, lone, whole(y), jax.grad(whole)(y), jax.hessian(whole)(y)

    at, lone, whole, slope, curved = jax.jit(both)(jnp.asarray(y))
    ideal = np.diag(system.boltzmann * temperature * np.asarray(tables.sites[0]) / y)
    assert mixing(system).all()
    np.testing.assert_allclose([at.energy, lone], whole, rtol=1e-12)
    np.testing.assert_allclose(along @ at.gradient, along @ slope, atol=1e-12)
    np.testing.assert_allclose(along @ (at.excess_hessian + ideal) @ along, along @ curved @ along, atol=1e-11)
