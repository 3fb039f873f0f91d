"""Conditional DANN: bins by quantiles, cells that count alike, and no gradient through the labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.risk import ConditionalDANN, RiskShape
from matjax.risk.conditional_dann import label_bins

KEY, N, K = jax.random.key(0), 24, 3
RANDOM = np.random.default_rng(7)
DOMAIN = np.where(np.arange(N) < 16, 0, 1 + np.arange(N) % 2)
FEATURES, LABEL, ERROR = RANDOM.normal(size=(N, K)), RANDOM.normal(size=N), RANDOM.normal(size=N)
PENALTY = ConditionalDANN(hidden=5, n_bin=3)


bins_of = jax.jit(label_bins, static_argnums=2)


def state(penalty=PENALTY, step=1e6):
    params, memory = penalty.init(KEY, RiskShape(3, K))
    return params, {**memory, "step": jnp.float32(step)}


@pytest.mark.parametrize("n_bin", [1, 2, 5])
def test_bins_hold_equal_numbers_of_the_labelled(n_bin):
    """As by sorting: rank * n_bin / n; a crystal without a label goes where its prediction falls."""
    known = np.arange(N) < 20
    bins = np.asarray(bins_of(jnp.asarray(LABEL), jnp.asarray(known), n_bin))
    ranks = LABEL[known].argsort().argsort()
    np.testing.assert_array_equal(bins[known], np.searchsorted((np.arange(1, n_bin) * 20) // n_bin, ranks, side="right"))
    assert bins.max() < n_bin and bins_of(jnp.ones(3), jnp.zeros(3, bool), n_bin).max() == 0


def test_cross_entropy_is_the_mean_over_cells(outcome):
    labelled = DOMAIN < 2
    error = np.where(labelled, ERROR, 0.0)
    batch = outcome(np.ones(N), DOMAIN, features=FEATURES, error=error, labelled=labelled, prediction=LABEL + error)
    params, memory = state()
    value, _, metrics = jax.jit(PENALTY.apply)(params, memory, batch)
    variance = FEATURES.var(0)
    z = (FEATURES - FEATURES.mean(0)) / np.sqrt(variance + 1e-3 * variance.mean() + 1e-6)
    bins = np.asarray(bins_of(jnp.asarray(LABEL), jnp.asarray(labelled), 3))
    layers = jax.tree.map(lambda x: np.asarray(x, float), params)
    hidden = np.maximum(np.column_stack([z, np.eye(3)[bins]]) @ layers["hidden"]["kernel"] + layers["hidden"]["bias"], 0)
    logits = hidden @ layers["output"]["kernel"] + layers["output"]["bias"]
    entropy = np.log(np.exp(logits).sum(1)) - logits[np.arange(N), DOMAIN]
    right = logits.argmax(1) == DOMAIN
    cells = [(bins == b) & (DOMAIN == d) for b in range(3) for d in range(3) if ((bins == b) & (DOMAIN == d)).any()]
    assert value == pytest.approx(np.mean([entropy[cell].mean() for cell in cells]), rel=1e-4)
    assert metrics["accuracy"] == pytest.approx(np.mean([right[cell].mean() for cell in cells]), rel=1e-4)


def test_only_features_get_the_reversed_gradient(outcome):
    batch = outcome(np.ones(N), DOMAIN, features=FEATURES, error=ERROR, prediction=LABEL + ERROR)
    params, memory = state()

    @jax.jit
    def slopes(strength, step=1e6):
        penalty, after = ConditionalDANN(strength, hidden=5, n_bin=3), {**memory, "step": jnp.asarray(step, jnp.float32)}
        said = lambda f, e, p: penalty.apply(params, after, batch._replace(features=f, error=e, prediction=p))[0]
        return jax.grad(said, argnums=(0, 1, 2))(batch.features, batch.error, batch.prediction)

    once, twice = slopes(1.0), slopes(2.0)
    assert once[0].any() and not once[1].any() and not once[2].any()
    np.testing.assert_allclose(twice[0], 2 * once[0], rtol=1e-4, atol=1e-7)
    assert not slopes(1.0, 0.0)[0].any()
    uphill = batch._replace(features=batch.features - 0.01 * once[0] / jnp.linalg.norm(once[0]))
    apply = jax.jit(PENALTY.apply)
    assert apply(params, memory, uphill)[0] > apply(params, memory, batch)[0]


def test_bad_input_is_refused(outcome):
    with pytest.raises(ValueError, match=r"Outcome\.prediction"):
        PENALTY.apply(*state(), outcome(np.ones(N), DOMAIN, features=FEATURES))
    for bad in ({"strength": -1.0}, {"warmup": 0.0}, {"hidden": 0}, {"n_bin": 0}):
        with pytest.raises(ValueError, match="must lie in"):
            ConditionalDANN(**bad)
