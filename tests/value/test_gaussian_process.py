"""Bayesian optimisation against refitting, quadrature and chance."""

import jax
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from matjax.types import Candidate
from matjax.value import Context, GaussianProcess, Random
from matjax.value.gaussian_process import SCORES, Belief, expected_improvement, features, posterior
from tests.value.alloys import SMALL, regular_solution

REWARD = regular_solution(SMALL)


def measured(n: int, seed: int) -> tuple[tuple[Candidate, float], ...]:
    lattice, counts = SMALL.sample_uniform(n, jax.random.key(seed))
    kept = {c.key: (c, float(r)) for c, r in zip(SMALL.decode(lattice, counts), REWARD(lattice, counts), strict=True)}
    return tuple(kept.values())


def test_a_batch_is_what_refitting_on_imagined_measurements_gives():
    rng = np.random.default_rng(0)
    x, pool, y = rng.random((12, 2)), rng.random((40, 2)), rng.normal(size=12)
    kernel = RBF(0.4) + WhiteKernel(0.1)
    fitted = lambda x, y: GaussianProcessRegressor(kernel, optimizer=None).fit(x, y)
    mean, covariance = fitted(x, y).predict(pool, return_cov=True)
    wanted = []
    for _ in range(5):
        m, c = fitted(x, y).predict(pool, return_cov=True)
        score = m + 2.0 * np.sqrt(np.diag(c) - 0.1)
        score[wanted] = -np.inf
        wanted.append(int(np.argmax(score)))
        x, y = np.vstack([x, pool[wanted[-1]]]), np.append(y, mean[wanted[-1]])
    assert GaussianProcess(kappa=2.0).pick(Belief(mean, covariance - 0.1 * np.eye(40), 0.1), 0.0, 5) == wanted


def test_expected_improvement_is_the_mean_of_the_improvement():
    grid = np.linspace(-12, 12, 200_001)
    for mean, std, best in ((0.3, 0.5, 0.0), (-1.0, 0.4, 0.2), (2.0, 1.5, 2.5)):
        density = np.exp(-0.5 * ((grid - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
        wanted = np.trapezoid(np.maximum(grid - best, 0.0) * density, grid)
        np.testing.assert_allclose(expected_improvement(np.array([mean]), np.array([std]), best), wanted, rtol=1e-6)
    np.testing.assert_array_equal(expected_improvement(np.array([1.0, -1.0]), np.zeros(2), 0.5), [0.5, 0.0])


def test_it_predicts_what_it_has_not_seen():
    known, other = measured(120, 0), measured(200, 1)
    belief = posterior([c for c, _ in known], np.array([u for _, u in known]), [c for c, _ in other], SMALL)
    truth = np.array([u for _, u in other])
    assert np.corrcoef(belief.mean, truth)[0, 1] > 0.9
    assert np.linalg.eigvalsh(belief.covariance).min() > -1e-6 * belief.covariance.max()


@pytest.mark.parametrize("score", SCORES)
def test_it_finds_more_than_chance(score):
    history = measured(40, 2)
    context = Context(SMALL, None, history, frozenset(c.key for c, _ in history))
    worth = lambda found: float(REWARD(*SMALL.encode(found)).mean())
    found = GaussianProcess(score=score, n_pool=256).propose(10, context, jax.random.key(0))
    chance = Random().propose(200, context, jax.random.key(0))
    assert worth(found) > np.quantile(REWARD(*SMALL.encode(chance)), 0.9)


def test_strangers_and_failures_are_passed_over():
    history = (*measured(20, 3), (Candidate("B2", ((("Al", 1),), (("Ni", 1),))), 9.0), (measured(1, 9)[0][0], float("nan")))
    context = Context(SMALL, None, history, frozenset(c.key for c, _ in history))
    assert len(GaussianProcess(n_pool=64).propose(3, context, jax.random.key(0))) == 3
    assert features([measured(1, 9)[0][0]], SMALL).shape == (1, len(SMALL.elements) + len(SMALL.lattices) * (len(SMALL.lattices) > 1))


def test_where_nothing_is_left_nothing_is_proposed():
    seen = frozenset(c.key for c in SMALL.decode(*SMALL.enumerate()))
    assert GaussianProcess(n_pool=64).propose(3, Context(SMALL, None, measured(20, 3), seen), jax.random.key(0)) == []


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"score": "probability"}, "allowed: upper_bound"),
        ({"n_pool": 1}, "at least 2"),
        ({"kappa": -1.0}, "kappa"),
        ({"fewest": 0}, "fewest"),
    ],
)
def test_wrong_settings_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        GaussianProcess(**wrong)
