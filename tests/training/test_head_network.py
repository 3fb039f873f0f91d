"""Networks on fixed features: the law they learn, what must not show (padding, order, company, missing labels), what must."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.risk import Coral, Risk, VREx
from matjax.testing.compare import assert_close
from matjax.training.head_network import HeadNetwork, Heads, Pace, _gradient, _start, errors_of_heads, fit_heads
from matjax.training.head_rows import Rows, padded_rows, stacked
from matjax.training.loss import Loss
from matjax.training.optimizer import AdamW
from matjax.training.step import Plan

LINEAR, PACE = HeadNetwork(hidden=()), Pace(n_epoch=10, n_update=30, batch_size=0)
PLAN = Plan(Loss(shape="mse"), Risk(), AdamW(0.05, 0.0), float(PACE.n_step), ema=0.5)
CLOSE = {"rtol": 1e-3, "atol": 1e-3}
KEYS = jax.random.key_data(jax.random.split(jax.random.key(0), 2))
TRAIN, VALIDATION = np.arange(80), np.arange(80, 110)
fit = partial(fit_heads, keys=KEYS, network=LINEAR, pace=PACE, n_domain=3)


def _table() -> tuple[np.ndarray, np.ndarray]:
    """120 rows of a linear law with noise, on features of very different scale; the last is constant."""
    random = np.random.default_rng(1)
    x = random.normal(size=(120, 4)) * [1, 100, 0.01, 0] + [0, 50, 0, 7]
    y = 3 + x @ [1.0, 0.02, -100.0, 0.0] + 0.1 * random.normal(size=120)
    return x.astype(np.float32), y.astype(np.float32)


def _rows(**other: Any) -> Rows:
    return stacked([padded_rows(TRAIN, VALIDATION, n_domain=3, **other)] * 2)


@pytest.fixture(scope="module")
def found() -> Heads:
    x, y = _table()
    return fit(x, y, _rows(), stacked([PLAN] * 2))


@pytest.fixture(scope="module")
def last() -> Heads:
    """The same fit without validation rows: the last epoch is taken."""
    return fit(*_table(), _rows()._replace(validation=np.full((2, 64), -1, np.int32)), stacked([PLAN] * 2))


def test_a_linear_network_finds_least_squares(last: Heads) -> None:
    x, y = _table()
    design = np.hstack([x[:, :3], np.ones((120, 1))]).astype(np.float64)
    weights, *_ = np.linalg.lstsq(design[TRAIN], y[TRAIN], rcond=None)
    rows = np.concatenate([np.arange(110, 120), [-1]])
    error = errors_of_heads(last, x, y, np.stack([rows] * 2), network=LINEAR)
    np.testing.assert_allclose(error[:, :10], [(design @ weights - y)[110:]] * 2, atol=2e-3)
    assert np.isnan(error[:, 10]).all() and np.isnan(last.error).all()
    assert np.all(np.asarray(last.epoch) == PACE.n_epoch) and np.all(np.asarray(last.skipped) == 0)


def test_the_best_epoch_is_kept(found: Heads, last: Heads) -> None:
    x, y = _table()
    on_validation = lambda heads: np.abs(errors_of_heads(heads, x, y, np.stack([VALIDATION] * 2), network=LINEAR)).mean(1)
    np.testing.assert_allclose(found.error, on_validation(found), rtol=1e-4)
    assert np.all(np.asarray(found.epoch) < PACE.n_epoch) and np.all(on_validation(found) < on_validation(last))


def test_padding_does_not_show(found: Heads) -> None:
    x, y = _table()
    other = _rows()
    garbage = lambda column, value: jnp.where(other.index >= 0, column, value)
    dirty = other._replace(weight=garbage(other.weight, jnp.nan), labelled=garbage(other.labelled, True), domain=garbage(other.domain, 99))
    x[-1], y[-1] = 1e6, 1e6  # the row that index -1 reads
    assert_close(found, fit(x, y, dirty, stacked([PLAN] * 2)), "what stands in the padding shows", **CLOSE)
    assert_close(found, fit(x, y, _rows(shape=(TRAIN.size, VALIDATION.size)), stacked([PLAN] * 2)), "padding itself shows", **CLOSE)


def test_a_label_that_is_missing_is_a_row_that_is_missing(found: Heads) -> None:
    x, y = _table()
    y[[3, 50, 100]] = np.nan
    x[[3, 50, 100]] = np.where(np.arange(4) == 1, 1e5, x[[3, 50, 100]])
    without = stacked([padded_rows(np.setdiff1d(TRAIN, [3, 50]), np.setdiff1d(VALIDATION, [100]), n_domain=3)] * 2)
    expected = fit(*_table(), without, stacked([PLAN] * 2))
    assert_close(expected, fit(x, y, _rows(), stacked([PLAN] * 2)), "a row without a label shows", **CLOSE)
    assert not np.allclose(expected.params["output"]["kernel"], found.params["output"]["kernel"])


def test_fits_side_by_side_are_fits_alone(found: Heads) -> None:
    x, y = _table()
    plans = stacked([PLAN, Plan(PLAN.loss, PLAN.risk, AdamW(0.01, 0.1), PLAN.n_step)])
    alone, together = fit(x, y, _rows(), plans), fit(x, y, _rows(), plans, at_once=2)
    assert_close(alone, together, "company under vmap shows", **CLOSE)
    first = lambda heads: jax.tree.map(lambda leaf: leaf[0], heads)
    assert_close(first(found), first(alone), "the settings of a neighbour show", **CLOSE)
    assert not np.allclose(alone.params["output"]["kernel"][0], alone.params["output"]["kernel"][1])


def test_target_rows_speak_through_penalties_alone() -> None:
    random = np.random.default_rng(0)
    x, y = jnp.asarray(random.normal(size=(24, 4)), jnp.float32), jnp.asarray(random.normal(size=24), jnp.float32)
    labelled = jnp.arange(24) < 16
    domain = jnp.where(labelled, jnp.arange(24) % 2, 2)
    network = HeadNetwork(hidden=(5,))

    @jax.jit
    def slope(risk: Risk, x: jax.Array) -> Any:
        plan = Plan(Loss(), risk, AdamW(), 10.0)
        member = _start(jax.random.key(0), 4, plan, network, 3)
        member = member._replace(params=member.params | {"output": jax.tree.map(lambda p: p + 0.3, member.params["output"])})
        return _gradient(member, (x, y, domain, jnp.ones(24), labelled, jnp.ones(24, bool)), plan, network).slope

    moved = x.at[16:].add(1.0)
    base = VREx(2.0)
    plain, off, on = Risk(base), Risk(base, penalties=(Coral(0.0),)), Risk(base, penalties=(Coral(3.0),))
    assert_close(slope(plain, x), slope(plain, moved), "a base looks at target rows")
    assert_close(slope(plain, x), slope(off, moved), "a penalty of strength zero shows")
    differs = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), slope(on, x), slope(on, moved))
    assert differs["hidden_0"]["kernel"] > 1e-3 and differs["output"]["kernel"] == pytest.approx(0, abs=1e-6)


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to learn from"):
        padded_rows(np.zeros(0, int))
    with pytest.raises(ValueError, match="the last is for target rows"):
        padded_rows(TRAIN, domain=np.full(80, 2), n_domain=3, target=VALIDATION)
    with pytest.raises(ValueError, match="do not fit the shape"):
        padded_rows(TRAIN, VALIDATION, shape=(64, 64))
    with pytest.raises(ValueError, match="separate calls"):
        stacked([PLAN, Plan(PLAN.loss, Risk(VREx()), PLAN.optimizer, PLAN.n_step)])
