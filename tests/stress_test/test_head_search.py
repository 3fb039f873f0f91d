"""The search over networks on fixed features: it counts as it says, and finds the risk that theory says must win."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.risk import Risk, VREx
from matjax.stress_test.head_search import HeadFold, Table, best, drawn, errors
from matjax.stress_test.search import Candidates, Range, Search
from matjax.training.head_learner import HeadLearner
from matjax.training.head_network import HeadNetwork, Pace, fit_heads, predict_heads
from matjax.training.head_rows import padded_rows, stacked
from matjax.training.loss import Loss
from matjax.training.optimizer import AdamW

N = 120
"""Rows per domain."""

SPURIOUS = (1.0, 0.6, 0.2, -1.0)
"""How the second feature follows the label in each domain; the last is held out."""


@pytest.fixture(scope="module")
def table() -> Table:
    """y = cause + noise; the other feature is an effect of y, by another factor in every domain."""
    random = np.random.default_rng(0)
    cause = random.normal(size=(4, N))
    y = cause + 0.7 * random.normal(size=(4, N))
    effect = np.array(SPURIOUS)[:, None] * y + 0.3 * random.normal(size=(4, N))
    x = np.stack([cause, effect], -1).reshape(-1, 2)
    return Table(jnp.asarray(x, jnp.float32), jnp.asarray(y.ravel(), jnp.float32), n_domain=4)


def _rows(*domains: int) -> np.ndarray:
    return np.concatenate([np.arange(d * N, (d + 1) * N) for d in domains])


def _fold(train: tuple[int, ...], test: int) -> HeadFold:
    rows = padded_rows(_rows(*train)[::2], _rows(*train)[1::10], domain=np.repeat(train, N // 2), n_domain=4, shape=(256, 64))
    return HeadFold(rows, {"outside": _rows(test), "inside": _rows(*train)[3::10]}, jax.random.key(test))


LEARNER = HeadLearner(
    network=HeadNetwork(()), loss=Loss(shape="mse"), risk=Risk(VREx()), pace=Pace(5, 60, 0), optimizer=AdamW(0.03, 0.0), members=1
)
CANDIDATES = Candidates(LEARNER, Search(draws=4), (Range("risk.base.beta", 1.0, 1000.0, off=0.0),))


def test_the_search_finds_the_invariant_fit_from_training_domains_alone(table: Table) -> None:
    tried = drawn(CANDIDATES, jax.random.key(0))
    assert tried[0][0] == {"risk.base.beta": 0.0} and len(tried) == 4
    inner = [_fold((0, 1), 2), _fold((1, 2), 0)]
    found = errors(table, [(learner, fold) for _, learner in tried for fold in inner])
    scores = np.array([np.abs(f["outside"]).mean() for f in found]).reshape(4, 2)
    chosen = best(scores)
    outer = errors(table, [(learner, _fold((0, 1, 2), 3)) for _, learner in tried])
    outside, inside = (np.array([np.abs(f[part]).mean() for f in outer]) for part in ("outside", "inside"))
    assert chosen != 0
    assert outside[chosen] < 0.6 * outside[0], "invariance must pay where the spurious feature turns round"
    assert inside[0] < inside[chosen], "and cost something where it does not"


def test_errors_are_those_of_a_fit_by_hand_whatever_the_chunk(table: Table) -> None:
    fold = _fold((0, 1, 2), 3)
    several = errors(table, [(LEARNER, fold)] * 5)
    keys = jax.random.key_data(jax.random.fold_in(jax.random.key(3), 0))[None]
    assert len(several) == 5 and several[0].keys() == {"outside", "inside", "validation"}
    for one in several[1:]:
        np.testing.assert_array_equal(one["outside"], several[0]["outside"])
    heads = fit_heads(table.x, table.y, stacked([fold.rows] * 4), stacked([LEARNER.plan] * 4), np.repeat(keys, 4, 0),
                      network=LEARNER.network, pace=LEARNER.pace, n_domain=4)  # fmt: skip
    said = np.asarray(predict_heads(heads, table.x, network=LEARNER.network)[0])[0]
    np.testing.assert_allclose(several[0]["outside"], (said - np.asarray(table.y))[_rows(3)], atol=1e-4)
    np.testing.assert_allclose(several[0]["inside"], (said - np.asarray(table.y))[fold.tests["inside"]], atol=1e-4)


def test_a_domain_counts_once_however_hard_it_is() -> None:
    assert best(np.array([[1.0, 100.0], [1.5, 90.0], [0.5, 150.0]])) == 2
    assert best(np.array([[2.0, 2.0], [1.0, 4.0]])) == 0
