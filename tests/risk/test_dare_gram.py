"""DARE-GRAM against cosines and eigenvalues by NumPy, pair by pair; finite where eigenvalues are equal."""

import jax
import numpy as np
import pytest

from matjax.risk import DareGram, RiskShape

KEY, N, K = jax.random.key(0), 60, 3
RANDOM = np.random.default_rng(2)
DOMAIN = np.arange(N) % 3
FEATURES = RANDOM.normal(size=(N, K)) * (1 + DOMAIN[:, None]) + DOMAIN[:, None] * [1.0, 0.0, -1.0]


@jax.jit
def run(batch, penalty):
    return penalty.apply(*penalty.init(KEY, RiskShape(3, K)), batch)[0]


def naive(features, angle, scale, ridge):
    variance = features.var(0)
    z = np.column_stack([np.ones(N), (features - features.mean(0)) / np.sqrt(variance + 1e-3 * variance.mean() + 1e-6)])
    regular = [z[DOMAIN == d].T @ z[DOMAIN == d] / (DOMAIN == d).sum() + ridge * np.eye(K + 1) for d in range(3)]
    inverse, scales = [np.linalg.inv(m) for m in regular], [np.sqrt(np.linalg.eigvalsh(m)) for m in regular]
    total = 0.0
    for a, b in ((0, 1), (0, 2), (1, 2)):
        cosines = [
            inverse[a][:, i] @ inverse[b][:, i] / np.linalg.norm(inverse[a][:, i]) / np.linalg.norm(inverse[b][:, i]) for i in range(K + 1)
        ]
        total += angle * np.mean(1 - np.array(cosines)) + scale * np.mean((scales[a] - scales[b]) ** 2)
    return total / 3


@pytest.mark.parametrize(("angle", "scale"), [(1.0, 0.0), (0.0, 1.0), (2.0, 0.3)])
def test_dare_gram_is_the_mean_over_pairs(outcome, angle, scale):
    value = run(outcome(np.ones(N), DOMAIN, features=FEATURES), DareGram(strength=2.0, angle=angle, scale=scale, ridge=0.05))
    assert value == pytest.approx(2 * naive(FEATURES, angle, scale, 0.05), rel=1e-4)


def test_domains_that_a_regression_treats_alike_cost_nothing(outcome):
    features = np.repeat(RANDOM.normal(size=(N // 3, K)), 3, axis=0)
    assert run(outcome(np.ones(N), DOMAIN, features=features), DareGram()) == pytest.approx(0, abs=1e-5)


def test_gradients_are_finite_for_equal_eigenvalues(outcome):
    slope = jax.jit(jax.grad(lambda f, batch: run(batch._replace(features=f), DareGram())))
    cross = np.concatenate([np.eye(K), -np.eye(K)])
    for features in (np.tile(cross, (N // 6, 1)), np.zeros((N, K))):
        batch = outcome(np.ones(N), np.arange(N) // 20, features=features)
        assert np.isfinite(slope(batch.features, batch)).all()


def test_bad_settings_are_refused():
    for bad in ({"strength": -1.0}, {"angle": -1.0}, {"scale": -1.0}, {"ridge": 0.0}):
        with pytest.raises(ValueError, match="must lie in"):
            DareGram(**bad)
