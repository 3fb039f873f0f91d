"""C-Mixup: on the line between two rows of like label, and what blurring the domain is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.risk import CMixup

KEY, N = jax.random.key(0), 60
RANDOM = np.random.default_rng(0)
DOMAIN = np.arange(N) % 3
Y = RANDOM.normal(size=N).astype(np.float32)
X = np.column_stack([Y, np.eye(N)]).astype(np.float32)  # which rows a mixture is of can be read off its features
LABELLED = np.arange(N) < 50

apply = jax.jit(lambda augment, key, x, y, domain, labelled: augment.apply(key, x, y, domain, labelled))
mixed = lambda augment, key=KEY, labelled=LABELLED, domain=DOMAIN: [np.asarray(a) for a in apply(augment, key, X, Y, domain, labelled)]


def parts(x):
    """Partner and share of each mixture: the other row in it, and how much."""
    others = x[:, 1:] * (1 - np.eye(N))
    return others.argmax(1), others.max(1)


def test_mixtures_lie_between_two_rows():
    x, y = mixed(CMixup(across=False))
    partner, share = parts(x)
    np.testing.assert_allclose(y, (1 - share) * Y + share * Y[partner], atol=1e-6)
    np.testing.assert_allclose(x[:, 0], y, atol=1e-6)
    np.testing.assert_allclose(x[:, 1:].sum(1), 1, atol=1e-6)
    assert 0 < share[LABELLED].min() and share.max() < 1


def test_partners_are_labelled_alike_and_from_another_domain():
    found = [parts(mixed(CMixup(bandwidth=0.2), jax.random.fold_in(KEY, i))[0])[0][LABELLED] for i in range(10)]
    own = np.arange(N)[LABELLED]
    assert all(LABELLED[p].all() and (DOMAIN[p] != DOMAIN[own]).all() for p in found)
    gap = np.mean([np.abs(Y[p] - Y[own]).mean() for p in found])
    wide = np.abs(Y[parts(mixed(CMixup(bandwidth=50.0))[0])[0][LABELLED]] - Y[own]).mean()
    assert gap < 0.35 < 0.7 < wide


def test_partners_have_the_probabilities_of_the_kernel():
    draws = np.array([parts(mixed(CMixup(bandwidth=0.5, across=False), jax.random.fold_in(KEY, i))[0])[0][0] for i in range(2000)])
    weight = np.exp(-((Y - Y[0]) ** 2) / (2 * 0.5**2)) * LABELLED * (np.arange(N) > 0)
    np.testing.assert_allclose(np.bincount(draws, minlength=N) / 2000, weight / weight.sum(), atol=0.02)


@pytest.mark.parametrize(
    ("augment", "labelled", "domain"),
    [
        (CMixup(0.0), LABELLED, DOMAIN),
        (CMixup(), np.zeros(N, bool), DOMAIN),
        (CMixup(), LABELLED, 0 * DOMAIN),
        (CMixup(), DOMAIN < 0, DOMAIN),
    ],
    ids=["no strength", "no labels", "one domain", "nobody"],
)
def test_without_strength_or_partner_rows_stay(augment, labelled, domain):
    x, y = mixed(augment, labelled=labelled, domain=domain)
    np.testing.assert_allclose(x, X)
    np.testing.assert_allclose(y, Y)


def test_a_mark_of_the_domain_is_forgotten():
    """A feature marks the domain, whose labels are higher: ERM leans on it and errs in a domain with a larger mark and no such labels."""
    random = np.random.default_rng(1)

    def draw(n, mark, level):
        y = random.normal(size=n) + level
        return np.column_stack([y + 0.7 * random.normal(size=n), mark + 0.3 * random.normal(size=n), np.ones(n)]), y

    (x0, y0), (x1, y1), (x, y) = draw(200, -1.0, -0.7), draw(200, 1.0, 0.7), draw(2000, 4.0, 0.0)
    data = jnp.asarray(np.concatenate([x0, x1])), jnp.asarray(np.concatenate([y0, y1])), jnp.repeat(jnp.arange(2), 200), jnp.ones(400, bool)

    def outside(augment):
        copies = [apply(augment, jax.random.fold_in(KEY, i), *data) for i in range(20)]
        rows, labels = (np.concatenate([np.asarray(c[part], float) for c in copies]) for part in (0, 1))
        return float(np.mean((x @ np.linalg.lstsq(rows, labels, rcond=None)[0] - y) ** 2))

    assert outside(CMixup(bandwidth=0.3)) < 0.5 * outside(CMixup(0.0))


def test_bad_settings_are_refused():
    for bad in ({"strength": 1.5}, {"alpha": 0.0}, {"bandwidth": 0.0}):
        with pytest.raises(ValueError, match="must lie in"):
            CMixup(**bad)
