"""Transition temperatures: closed forms, melting, reasons where there is none, the implicit derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo import LIQUID, SEPARATION, Terms, Transition, liquid, transition_temperature
from matjax.thermo.alloy.transition import REASONS
from matjax.units import BOLTZMANN

OMEGA, HALF = 0.1, np.array([0.5, 0.5])


@jax.jit
def found(model, phase) -> Transition:
    return transition_temperature(model, phase, HALF, terms=Terms(vibrational=False))


def of(model, phase: int = 0) -> Transition:
    with jax.enable_x64(True):
        return found(model, phase)


def entropy(x):
    return -BOLTZMANN * (x * np.log(x) + (1 - x) * np.log(1 - x))


def test_of_a_regular_solution_it_is_the_critical_temperature_but_for_the_separation(given_landscape):
    got = of(given_landscape(2, {0: {2: OMEGA}}))
    seen = OMEGA * SEPARATION**2 / (entropy(0.5) - entropy(0.5 - SEPARATION))  # where the solution equals its two neighbours
    assert float(got.temperature) == pytest.approx(seen, abs=1e-5)
    assert seen == pytest.approx(OMEGA / (2 * BOLTZMANN), rel=0.01) and REASONS[int(got.reason)] == "" and np.isnan(got.until)


def test_against_a_compound_it_is_where_the_entropy_pays_for_the_order(given_landscape):
    got = of(given_landscape(2, {0: {}}, [(HALF, -0.1)]))
    assert float(got.temperature) == pytest.approx(0.1 / entropy(0.5), abs=1e-6)


def test_where_there_is_none_it_says_why(given_landscape):
    always, never = of(given_landscape(2, {0: {2: -0.1}})), of(given_landscape(2, {0: {2: 0.8}}))
    broken = of(given_landscape(2, {0: {2: np.nan}}))
    assert all(np.isnan(float(one.temperature)) for one in (always, never, broken))
    assert "from the lowest" in REASONS[int(always.reason)] and "not stable" in REASONS[int(never.reason)]
    assert "not a number" in REASONS[int(broken.reason)]


def test_bad_ranges_are_refused(given_landscape):
    with pytest.raises(ValueError, match="lowest < highest"):
        transition_temperature(given_landscape(2, {0: {}}), 0, HALF, between=(900.0, 300.0))


@pytest.mark.slow
def test_the_liquid_ends_the_solution_and_begins_where_it_melts(given_landscape):
    melt = liquid(("A", "B"), melting=[1500.0, 1500.0], fusion=[0.13, 0.13], pair=np.zeros((2, 2)))
    model = given_landscape(2, {0: {2: OMEGA}})._replace(liquid=melt)
    solid, molten = of(model), of(model, LIQUID)
    azeotrope = (0.13 + 0.0 - OMEGA / 4) / (0.13 / 1500.0)  # liquid and solid of one composition, entropies of mixing alike
    assert float(solid.until) == pytest.approx(azeotrope, abs=1e-4) == float(molten.temperature)
    assert float(solid.temperature) < 600


@pytest.mark.slow
def test_derivative_by_the_implicit_function_theorem(given_landscape):
    model = given_landscape(2, {0: {}}, [(HALF, -0.1)])
    at = lambda depth: (
        transition_temperature(
            model._replace(compound_enthalpy=model.compound_enthalpy.at[0].set(depth)), 0, HALF, terms=Terms(vibrational=False)
        ).temperature
    )
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(at))(jnp.asarray(-0.1))
    assert float(slope) == pytest.approx(-1 / entropy(0.5), rel=1e-8)
