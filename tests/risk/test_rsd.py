"""RSD against principal angles by SciPy in the limit of no ridge, and blind to the scale of a domain."""

import jax
import numpy as np
import pytest
from scipy.linalg import subspace_angles

from matjax.risk import RSD, RiskShape

KEY, N, K = jax.random.key(0), 60, 4
RANDOM = np.random.default_rng(1)
DOMAIN = np.arange(N) % 2


@jax.jit
def run(batch, penalty):
    return penalty.apply(*penalty.init(KEY, RiskShape(2, K)), batch)[0]


def standard(features):
    variance = features.var(0)
    return (features - features.mean(0)) / np.sqrt(variance + 1e-3 * variance.mean() + 1e-6)


def naive(features, ridge):
    projectors = []
    for d in (0, 1):
        z = np.column_stack([np.ones(N // 2), standard(features)[DOMAIN == d]])
        moment = z.T @ z / len(z)
        projectors.append(np.linalg.inv(moment + (ridge * np.trace(moment) / (K + 1) + ridge * 1e-6) * np.eye(K + 1)) @ moment)
    return ((projectors[0] - projectors[1]) ** 2).sum() / 2


def test_rsd_is_its_formula(outcome):
    features = RANDOM.normal(size=(N, K)) * np.where(DOMAIN[:, None] == 1, [1, 0.1, 1, 2], [0.2, 1, 1, 1])
    batch = outcome(np.ones(N), DOMAIN, features=features)
    assert run(batch, RSD(3.0, ridge=0.2)) == pytest.approx(3 * naive(features, 0.2), rel=1e-4)


def test_rsd_is_the_sum_of_squared_sines(outcome):
    """Each domain fills a plane of its own; with a small ridge the projectors are sharp."""
    planes = RANDOM.normal(size=(2, 2, K))
    features = np.einsum("ni,nij->nj", RANDOM.normal(size=(N, 2)), planes[DOMAIN])
    z = np.column_stack([np.ones(N), standard(features)])
    angles = subspace_angles(z[DOMAIN == 0].T, z[DOMAIN == 1].T)
    value = run(outcome(np.ones(N), DOMAIN, features=features), RSD(ridge=1e-3))
    assert value == pytest.approx((np.sin(angles) ** 2).sum(), rel=0.05)
    assert value > 0.3


def test_rsd_is_blind_to_the_scale_of_a_domain(outcome):
    """The same directions, three times longer in one domain: nothing to align, where a covariance differs ninefold."""
    one = RANDOM.normal(size=(N // 2, K))
    one -= one.mean(0)
    features = np.repeat(one, 2, axis=0) * np.where(DOMAIN[:, None] == 1, 3.0, 1.0)
    sharp = outcome(np.ones(N), DOMAIN, features=features)
    turned = outcome(np.ones(N), DOMAIN, features=np.where(DOMAIN[:, None] == 1, 1.0, [1, 1, 0.01, 0.01]) * features)
    assert run(sharp, RSD(ridge=0.01)) < 0.01 < 0.3 < run(turned, RSD(ridge=0.01))


def test_gradients_are_finite_where_an_svd_has_none(outcome):
    """Equal singular values, and fewer crystals than features."""
    slope = jax.jit(jax.grad(lambda f, batch: run(batch._replace(features=f), RSD())))
    for features in (np.tile(np.eye(K), (N // K, 1)), np.zeros((N, K))):
        batch = outcome(np.ones(N), DOMAIN, features=features, weight=(np.arange(N) < 6).astype(float))
        assert np.isfinite(slope(batch.features, batch)).all()


def test_bad_settings_are_refused():
    for bad in ({"strength": -1.0}, {"ridge": 0.0}):
        with pytest.raises(ValueError, match="must lie in"):
            RSD(**bad)
