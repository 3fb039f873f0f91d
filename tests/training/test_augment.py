"""Augments in training: an augment that does nothing trains as none does, and one that does something says so in the parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.risk import Adversarial, CMixup, Risk
from matjax.toml import from_toml, to_toml
from matjax.training import AdamW, GraphLearner, HeadLearner, HeadNetwork, Loss
from matjax.training.head_network import Pace, fit_heads
from matjax.training.head_rows import padded_rows, stacked
from matjax.training.step import Plan

PACE = Pace(n_epoch=2, n_update=20, batch_size=32)


@pytest.mark.slow
def test_mixup_without_strength_trains_as_without_mixup():
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(64, 3)), jnp.float32)
    rows = padded_rows(np.arange(40), np.arange(40, 64), domain=np.arange(40) % 2, n_domain=2)
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), 1))

    def fit(augment):
        plan = Plan(Loss(shape="mse"), Risk(), AdamW(1e-2), float(PACE.n_step), augment=augment)
        rest = {"network": HeadNetwork(hidden=(4,)), "pace": PACE, "n_domain": 2}
        return jax.tree.leaves(fit_heads(x, x[:, 0] ** 2, stacked([rows]), stacked([plan]), keys, **rest).params)

    plain, none, some = fit(None), fit(CMixup(0.0)), fit(CMixup(1.0))
    assert all(np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(plain, none, strict=True))
    assert not all(np.allclose(a, b, rtol=1e-2) for a, b in zip(plain, some, strict=True))


@pytest.mark.slow
def test_deforming_no_crystal_trains_as_without_deformation(bench):
    members = bench.members()
    plain, metrics = bench.step(members, bench.batch())
    none, _ = bench.step(members, bench.batch(), augment=Adversarial(share=0.0))
    some, harder = bench.step(members, bench.batch(), augment=Adversarial(0.05, 0.0, share=1.0))
    leaves = lambda members: jax.tree.leaves(members.params)
    assert all(np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(leaves(plain), leaves(none), strict=True))
    assert not all(np.allclose(a, b, rtol=1e-3) for a, b in zip(leaves(plain), leaves(some), strict=True))
    assert (harder["risk"] > metrics["risk"]).all()


def test_augments_are_settings():
    for learner in (GraphLearner(augment=Adversarial(share=0.2)), HeadLearner(augment=CMixup(0.5))):
        assert from_toml(to_toml(learner), type(learner)) == learner
    short = from_toml("[augment]\nstrain = 0.0", GraphLearner)
    assert short == dataclasses.replace(GraphLearner(), augment=Adversarial(strain=0.0))
