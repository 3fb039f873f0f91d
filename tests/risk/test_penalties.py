"""Each penalty against its formula written again in NumPy, and at its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.risk import DANN, MMD, RSD, ConditionalDANN, Coral, DareGram, LowDensity, Risk, RiskShape

RANDOM = np.random.default_rng(7)
N, K = 24, 3
DOMAIN = np.arange(N) % 3
FEATURES = RANDOM.normal(size=(N, K)) * [1.0, 5.0, 0.2] + DOMAIN[:, None] * [0.5, -1.0, 0.0]
KEY = jax.random.key(0)


def state_of(part):
    return part.init(KEY, RiskShape(3, K))


def feature_gradient(part, batch, state=None):
    params, memory = state_of(part) if state is None else state
    return jax.grad(lambda f: part.apply(params, memory, batch._replace(features=f))[0])(batch.features)


# --- CORAL


def naive_coral(features, domain, mean):
    variance = features.var(0)
    z = (features - features.mean(0)) / np.sqrt(variance + 1e-3 * variance.mean() + 1e-6)
    pairs = [(a, b) for a in set(domain) for b in set(domain) if a < b]
    total = 0.0
    for a, b in pairs:
        za, zb = z[domain == a], z[domain == b]
        covariances = ((np.cov(za.T) - np.cov(zb.T)) ** 2).sum() / (4 * K**2)
        total += covariances + mean * ((za.mean(0) - zb.mean(0)) ** 2).mean()
    return total / len(pairs)


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_coral_is_the_mean_over_pairs(outcome, mean):
    value, _, _ = Coral(2.0, mean).apply(*state_of(Coral()), outcome(np.ones(N), DOMAIN, features=FEATURES))
    assert value == pytest.approx(2.0 * naive_coral(FEATURES, DOMAIN, mean), rel=1e-4)


def test_coral_skips_domains_of_one_crystal(outcome):
    domain = np.where(DOMAIN == 2, 0, DOMAIN)
    domain[5] = 2
    weight = np.where(domain == 2, 0.0, 1.0)
    with_one = Coral(mean=0.0).apply(*state_of(Coral()), outcome(np.ones(N), domain, features=FEATURES, weight=weight))[0]
    assert with_one == pytest.approx(naive_coral(FEATURES[weight > 0], domain[weight > 0], 0.0), rel=1e-4)


def test_coral_cannot_be_lowered_by_scale(outcome):
    """Rescaled features have the same penalty, and its gradient is orthogonal to a change of scale or of origin."""
    batch = outcome(np.ones(N), DOMAIN, features=FEATURES)
    value = float(Coral().apply(*state_of(Coral()), batch)[0])
    shrunk = Coral().apply(*state_of(Coral()), batch._replace(features=0.1 * batch.features + 3.0))[0]
    assert shrunk == pytest.approx(value, rel=1e-3)
    gradient = np.asarray(feature_gradient(Coral(), batch), float)
    size = np.linalg.norm(gradient) * np.linalg.norm(FEATURES)
    assert abs((gradient * (FEATURES - FEATURES.mean(0))).sum()) < 1e-3 * size
    np.testing.assert_allclose(gradient.sum(0), 0, atol=1e-5)


def test_coral_vanishes_for_equal_domains(outcome):
    features = np.repeat(RANDOM.normal(size=(8, K)), 3, axis=0)
    assert Coral().apply(*state_of(Coral()), outcome(np.ones(N), DOMAIN, features=features))[0] == pytest.approx(0, abs=1e-6)


STRENGTHLESS = [Coral(0.0), MMD(0.0), RSD(0.0), DareGram(0.0), DANN(0.0, hidden=4), ConditionalDANN(0.0, hidden=4), LowDensity(0.0)]


@pytest.mark.parametrize("penalty", STRENGTHLESS, ids=lambda p: type(p).__name__)
def test_without_strength_the_model_trains_as_under_erm(outcome, penalty):
    batch = outcome(np.ones(N), DOMAIN, features=FEATURES, log_variance=np.full(N, -9.0), error=np.ones(N), prediction=np.arange(N))
    risk = Risk() + penalty
    params, memory = risk.init(KEY, RiskShape(3, K))
    for _ in range(3):
        memory = risk.apply(params, memory, batch)[1]
    says = lambda f, v, l: risk.apply(params, memory, batch._replace(features=f, log_variance=v, loss=l))[0]
    by_features, by_variance, by_loss = jax.grad(says, argnums=(0, 1, 2))(batch.features, batch.log_variance, batch.loss)
    assert not by_features.any() and not by_variance.any()
    np.testing.assert_allclose(by_loss, 1 / N, rtol=1e-5)


# --- DANN


def test_dann_is_the_balanced_cross_entropy(outcome):
    domain = np.where(np.arange(N) < 18, 0, 1 + np.arange(N) % 2)
    params, memory = state_of(DANN(hidden=5))
    value, _, metrics = DANN(hidden=5).apply(params, memory, outcome(np.ones(N), domain, features=FEATURES))
    variance = FEATURES.var(0)
    z = (FEATURES - FEATURES.mean(0)) / np.sqrt(variance + 1e-3 * variance.mean() + 1e-6)
    layers = jax.tree.map(lambda x: np.asarray(x, float), params)
    hidden = np.maximum(z @ layers["hidden"]["kernel"] + layers["hidden"]["bias"], 0)
    logits = hidden @ layers["output"]["kernel"] + layers["output"]["bias"]
    entropy = np.log(np.exp(logits).sum(1)) - logits[np.arange(N), domain]
    assert value == pytest.approx(np.mean([entropy[domain == d].mean() for d in range(3)]), rel=1e-4)
    right = logits.argmax(1) == domain
    assert metrics["accuracy"] == pytest.approx(np.mean([right[domain == d].mean() for d in range(3)]), rel=1e-4)


def test_dann_turns_the_gradient_of_the_model_only(outcome):
    """Twice the strength: the discriminator's gradient stays, the model's doubles; and it points uphill."""
    batch = outcome(np.ones(N), DOMAIN, features=FEATURES)
    params, memory = state_of(DANN(hidden=5))
    memory = {"step": jnp.float32(1e6)}
    of_params = [jax.grad(lambda p, s=s: DANN(s, hidden=5).apply(p, memory, batch)[0])(params)["hidden"]["kernel"] for s in (1.0, 2.0)]
    np.testing.assert_allclose(of_params[0], of_params[1], rtol=1e-5)
    once, twice = (feature_gradient(DANN(s, hidden=5), batch, (params, memory)) for s in (1.0, 2.0))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-4, atol=1e-7)
    confused = batch._replace(features=batch.features - 0.01 * once / jnp.linalg.norm(once))
    assert DANN(hidden=5).apply(params, memory, confused)[0] > DANN(hidden=5).apply(params, memory, batch)[0]


def test_dann_strength_follows_the_schedule(outcome):
    batch = outcome(np.ones(N), DOMAIN, features=FEATURES)
    params, _ = state_of(DANN(hidden=5))
    norm = lambda step: np.linalg.norm(feature_gradient(DANN(hidden=5, warmup=100.0), batch, (params, {"step": jnp.float32(step)})))
    for progress in (0.0, 0.1, 0.3, 1.0):
        assert norm(100 * progress) / norm(1e6) == pytest.approx(2 / (1 + np.exp(-10 * progress)) - 1, abs=1e-4)


# --- low density


def naive_low_density(features, error, log_variance, margin, shrinkage):
    """The penalty of a first batch, whose statistics are its own."""
    covariance = np.cov(features.T, bias=True)
    variance = np.diag(covariance)
    scale = np.sqrt(variance + 1e-3 * variance.mean() + 1e-6)
    correlation = (1 - shrinkage) * covariance / np.outer(scale, scale) + shrinkage * np.eye(K)
    z = (features - features.mean(0)) / scale
    distance = np.einsum("ni,ij,nj->n", z, np.linalg.inv(correlation), z) / K
    edge = distance.mean() + margin * distance.std()
    floor = np.log((error**2).mean()) + np.log(np.maximum(distance / edge, 1))
    return ((1 - np.minimum(edge / distance, 1)) * np.maximum(floor - log_variance, 0)).mean()


def warm(penalty, batch, steps=40):
    """Memory after many looks at one batch: its running means are the batch's own."""
    params, memory = state_of(penalty)
    step = jax.jit(lambda memory: penalty.apply(params, memory, batch)[1])
    for _ in range(steps):
        memory = step(memory)
    return memory


def test_low_density_is_its_formula(outcome):
    error, log_variance = RANDOM.normal(size=N), RANDOM.normal(size=N) - 4
    batch = outcome(np.ones(N), DOMAIN, features=FEATURES, error=error, log_variance=log_variance)
    penalty = LowDensity(2.0, margin=0.3, decay=0.5, shrinkage=0.2)
    value, memory, _ = penalty.apply((), warm(penalty, batch), batch)
    expected = 2.0 * naive_low_density(FEATURES, error, log_variance, 0.3, 0.2)
    assert expected > 0.1
    assert value == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(memory["features"]["covariance"], np.cov(FEATURES.T, bias=True), rtol=1e-3, atol=1e-4)


def test_low_density_follows_the_moments_of_a_stream(outcome):
    """Running mean and covariance over many batches come to those of the distribution, also where the mean is large."""
    random, penalty = np.random.default_rng(3), LowDensity(decay=0.98)
    mixing = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -0.3], [0.0, 0.0, 0.2]])
    _, memory = state_of(penalty)
    step = jax.jit(lambda memory, batch: penalty.apply((), memory, batch)[1])
    for _ in range(200):
        features = random.normal(size=(N, K)) @ mixing + [30.0, 0.0, -5.0]
        memory = step(memory, outcome(np.ones(N), DOMAIN, features=features, log_variance=np.zeros(N)))
    memory = memory["features"]
    np.testing.assert_allclose(memory["mean"], [30, 0, -5], atol=0.1)
    np.testing.assert_allclose(memory["covariance"], mixing.T @ mixing, atol=0.15)
    assert memory["distance"] == pytest.approx(1.0, abs=0.15)


def test_low_density_touches_nothing_but_the_far_variance(outcome):
    """No gradient to features or error; none to crystals inside the edge; none where the variance is high already."""
    far = np.arange(N) >= N - 3
    labelled = ~far
    features = np.where(far[:, None], 30.0, FEATURES)
    batch = outcome(np.ones(N), DOMAIN, features=features, error=np.ones(N), log_variance=np.zeros(N) - 1, labelled=labelled)
    penalty = LowDensity(decay=0.5, margin=3.0)
    memory = warm(penalty, batch)
    says = lambda f, e, v: penalty.apply((), memory, batch._replace(features=f, error=e, log_variance=v))[0]
    by_features, by_error, by_variance = jax.grad(says, argnums=(0, 1, 2))(batch.features, batch.error, batch.log_variance)
    assert not by_features.any() and not by_error.any()
    assert (np.asarray(by_variance)[far] < 0).all() and not np.asarray(by_variance)[~far].any()
    assert not jax.grad(says, argnums=2)(batch.features, batch.error, batch.log_variance + 20.0).any()


def test_low_density_goes_by_the_larger_of_two_distances(outcome):
    """Features that hide what inputs show ask for the same doubt as features that show it, and the other way round."""
    far, plain = np.arange(N) >= N - 3, np.concatenate([FEATURES[: N - 3], FEATURES[:3]])
    shifted = np.where(far[:, None], 30.0, plain)
    settings = {"log_variance": np.zeros(N) - 1, "error": np.ones(N), "labelled": ~far}
    penalty, values = LowDensity(decay=0.5, margin=3.0), {}
    for name, features, inputs in (("features", shifted, plain), ("inputs", plain, shifted), ("neither", plain, plain)):
        batch = outcome(np.ones(N), DOMAIN, features=features, inputs=inputs, **settings)
        memory = penalty.init(KEY, RiskShape(3, K, n_input=K))[1]
        for _ in range(30):
            value, memory, _ = penalty.apply((), memory, batch)
        values[name] = float(value)
    assert values["features"] == pytest.approx(values["inputs"], rel=1e-5)
    assert values["features"] > 0.1 > values["neither"] == 0


def test_low_density_needs_a_variance(outcome):
    with pytest.raises(ValueError, match="variance head"):
        LowDensity().apply((), state_of(LowDensity())[1], outcome(np.ones(N), DOMAIN, features=FEATURES))
    with pytest.raises(ValueError, match=r"Outcome\.inputs"):
        memory = LowDensity().init(KEY, RiskShape(3, K, n_input=2))[1]
        LowDensity().apply((), memory, outcome(np.ones(N), DOMAIN, features=FEATURES, log_variance=np.zeros(N)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Coral(-1.0),
        lambda: DANN(warmup=0.0),
        lambda: DANN(hidden=0),
        lambda: LowDensity(decay=1.0),
        lambda: LowDensity(shrinkage=0.0),
    ],
)
def test_bad_settings_are_refused(make):
    with pytest.raises(ValueError, match="must lie in"):
        make()
