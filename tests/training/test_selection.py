"""Frozen parameters keep their bits, rates are factors on a change, and a pattern that names nothing is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from matjax.override import override
from matjax.toml import from_toml, to_toml
from matjax.training.optimizer import AdamW, Muon
from matjax.training.selection import Rate, paths, stop_frozen

RANDOM = np.random.default_rng(0)
PARAMS = {
    "element": {"table": RANDOM.normal(size=(5, 4))},
    "interaction_0": {"linear": {"kernel": RANDOM.normal(size=(4, 4)), "bias": RANDOM.normal(size=4)}},
    "energy": {"kernel": RANDOM.normal(size=(4, 1))},
}
PARAMS = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), PARAMS)
GRADIENT = jax.tree.map(lambda x: 0.1 * x + 0.2, PARAMS)
both = pytest.mark.parametrize("optimizer", [AdamW(1e-2, weight_decay=0.1), Muon(weight_decay=0.1)], ids=["adamw", "muon"])


def after(optimizer, gradient=GRADIENT, n=3):
    rule, params = optimizer.build(10.0), PARAMS
    state = rule.init(params)
    for _ in range(n):
        change, state = rule.update(gradient, state, params)
        params = optax.apply_updates(params, change)
    return params


@both
@pytest.mark.parametrize("pattern", ["element", "element/*", "interaction_*/linear/kernel", "*/kernel"])
def test_what_is_frozen_keeps_its_bits_and_the_rest_moves(optimizer, pattern) -> None:
    ends = {"interaction_*/linear/kernel": "linear/kernel", "*/kernel": "kernel"}.get(pattern, "table")
    frozen = {path for path in paths(PARAMS) if path.endswith(ends)}
    found = after(dataclasses.replace(optimizer, frozen=(pattern,)))
    for path, old, new in zip(paths(PARAMS), jax.tree.leaves(PARAMS), jax.tree.leaves(found), strict=True):
        assert np.array_equal(old, new) == (path in frozen), path


@both
def test_the_rest_moves_as_if_the_frozen_were_not_there(optimizer) -> None:
    """Not even clipping sees the gradient of a frozen parameter."""
    loud = {**GRADIENT, "element": {"table": 1e6 * jnp.ones((5, 4))}}
    rule = optimizer.build(10.0)
    small = {k: v for k, v in PARAMS.items() if k != "element"}
    change, _ = rule.update({k: v for k, v in loud.items() if k != "element"}, rule.init(small), small)
    selective = dataclasses.replace(optimizer, frozen=("element",)).build(10.0)
    found, _ = selective.update(loud, selective.init(PARAMS), PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), change, {k: v for k, v in found.items() if k != "element"})
    assert not np.any(found["element"]["table"])


@both
def test_a_rate_is_a_factor_on_the_first_change_and_the_first_pattern_counts(optimizer) -> None:
    step = lambda o: jax.tree.map(lambda new, old: np.asarray(new) - np.asarray(old), after(o, n=1), PARAMS)
    plain = step(optimizer)
    found = step(dataclasses.replace(optimizer, rates=(Rate("element", 0.1), Rate("*/kernel", 0.5), Rate("energy", 7.0))))
    factor = {"element": {"table": 0.1}, "interaction_0": {"linear": {"kernel": 0.5, "bias": 1.0}}, "energy": {"kernel": 0.5}}
    jax.tree.map(lambda f, p, c: np.testing.assert_allclose(f * p, c, rtol=1e-3, atol=2e-7), factor, plain, found)


def test_a_sweep_over_rates_compiles_once() -> None:
    traced = []

    @jax.jit
    def change(optimizer):
        traced.append(optimizer)
        rule = optimizer.build(10.0)
        return rule.update(GRADIENT, rule.init(PARAMS), PARAMS)[0]

    for factor in (0.1, 0.5):
        change(AdamW(rates=(Rate("element", factor),)))
    assert len(traced) == 1


def test_no_gradient_flows_to_the_frozen() -> None:
    total = lambda params: sum(jnp.sum(x**2) for x in jax.tree.leaves(stop_frozen(params, ("element",))))
    slope = jax.grad(total)(PARAMS)
    assert not np.any(slope["element"]["table"]) and np.all(np.asarray(slope["energy"]["kernel"]) != 0)
    assert stop_frozen(PARAMS, ()) is PARAMS


def test_a_frozen_part_of_a_network_keeps_its_bits_through_a_fit(learner, visible, predictor) -> None:
    optimizer = AdamW(1e-2, frozen=("element", "interaction_0"), rates=(Rate("readout", 0.1),))
    tuned = dataclasses.replace(learner, n_epoch=1, optimizer=optimizer).fit(visible, jax.random.key(3), start=predictor)
    for (path, old), new in zip(flatten_dict(predictor.params, sep="/").items(), jax.tree.leaves(tuned.params), strict=True):
        assert np.array_equal(old, new) == path.startswith(("element", "interaction_0")), path


def test_settings_are_read_and_written() -> None:
    optimizer = Muon(frozen=("element",), rates=(Rate("energy", 3.0),))
    assert from_toml(to_toml(optimizer), Muon) == optimizer
    assert override(Muon(), ['frozen=["element"]']).frozen == ("element",)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="no parameter is named 'elements'; there are: element/table, energy/kernel"):
        AdamW(frozen=("elements",)).build(1.0).init(PARAMS)
    with pytest.raises(ValueError, match=r"no parameter is named 'heads/\*'"):
        Muon(rates=(Rate("heads/*", 2.0),)).build(1.0).init(PARAMS)
    with pytest.raises(ValueError, match="leaves no parameter to train"):
        AdamW(frozen=("*",)).build(1.0).init(PARAMS)
