"""MMD against its kernel sums written out, and against the law that it measures."""

import functools

import jax
import numpy as np
import pytest

from matjax.risk import MMD, RiskShape
from matjax.risk.mmd import WIDTHS

KEY, N, K = jax.random.key(0), 24, 3
RANDOM = np.random.default_rng(7)
DOMAIN = np.arange(N) % 3
FEATURES = RANDOM.normal(size=(N, K)) * [1.0, 5.0, 0.2] + DOMAIN[:, None] * [0.5, -1.0, 0.0]


@functools.partial(jax.jit, static_argnames="n_domain")
def run(batch, n_domain=3, strength=1.0):
    return MMD(strength).apply(*MMD().init(KEY, RiskShape(n_domain, K)), batch)[0]


def naive(features, domain):
    variance = features.var(0)
    z = (features - features.mean(0)) / np.sqrt(variance + 1e-3 * variance.mean() + 1e-6)
    kernel = lambda x, y: np.mean([np.exp(-((x - y) ** 2).sum() / (2 * s * 2 * K)) for s in WIDTHS])
    within = lambda p: np.mean([kernel(p[i], p[j]) for i in range(len(p)) for j in range(len(p)) if i != j])
    across = lambda p, q: np.mean([kernel(x, y) for x in p for y in q])
    parts = [z[domain == d] for d in sorted(set(domain))]
    pairs = [within(p) + within(q) - 2 * across(p, q) for i, p in enumerate(parts) for q in parts[:i]]
    return np.mean(pairs)


def test_mmd_is_the_mean_over_pairs(outcome):
    assert run(outcome(np.ones(N), DOMAIN, features=FEATURES), strength=2.0) == pytest.approx(2 * naive(FEATURES, DOMAIN), rel=1e-4)


def test_mmd_skips_domains_of_one_crystal_and_absent_ones(outcome):
    domain = np.where(DOMAIN == 2, 4, DOMAIN)
    domain[5] = 3
    weight = np.where(domain == 3, 1e-9, 1.0)
    kept = domain != 3
    value = run(outcome(np.ones(N), domain, features=FEATURES, weight=weight), n_domain=6)
    assert value == pytest.approx(naive(FEATURES[kept], domain[kept]), rel=1e-3)


def test_mmd_has_mean_zero_for_equal_domains_and_not_for_a_change_of_variance(outcome):
    random, domain = np.random.default_rng(0), np.arange(64) % 2
    draw = lambda spread: run(outcome(np.ones(64), domain, features=random.normal(size=(64, K)) * spread), n_domain=2)
    equal = np.array([draw(np.ones((64, 1))) for _ in range(40)])
    wider = np.array([draw(1 + 2 * domain[:, None]) for _ in range(10)])
    assert abs(equal.mean()) < 3 * equal.std() / np.sqrt(40)
    assert wider.min() > 3 * equal.std()


def test_mmd_cannot_be_lowered_by_scale(outcome):
    batch = outcome(np.ones(N), DOMAIN, features=FEATURES)
    assert run(batch._replace(features=0.1 * batch.features + 3.0)) == pytest.approx(float(run(batch)), rel=1e-3)
    gradient = np.asarray(jax.jit(jax.grad(lambda f: run(batch._replace(features=f))))(batch.features), float)
    assert abs((gradient * (FEATURES - FEATURES.mean(0))).sum()) < 1e-3 * np.linalg.norm(gradient) * np.linalg.norm(FEATURES)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="must lie in"):
        MMD(-1.0)
