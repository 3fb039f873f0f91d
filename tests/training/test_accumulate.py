"""Accumulated batches are one batch: the gradient does not know how crystals were dealt to batches."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from matjax.config import spec
from matjax.graph import Shape, pack
from matjax.nn import Equivariant
from matjax.risk import ERM, Coral, CVaR, GroupDRO, Importance, Risk, VREx
from matjax.training.accumulate import check_additive, grouped
from matjax.training.metrics import NAME, read_metrics
from matjax.training.step import _gradient

MODEL = Equivariant("4x0e+4x1o", n_layer=1, n_basis=4)
SHAPE = Shape(64, 1024, 12)


@functools.partial(jax.jit, static_argnames="plan_accumulate")
def slope(member, graph, plan, plan_accumulate):
    plan = dataclasses.replace(plan, accumulate=plan_accumulate, bootstrap=1.0)
    constants = {"average_degree": 20.0, "scale": 0.5}
    return _gradient(member, constants=constants, graph=graph, plan=plan, model=MODEL, derivatives=())


def dealt(bench, *parts):
    """Batches of these rows, stacked where there are several."""
    batches = [pack([bench.graphs[i] for i in rows], SHAPE, cutoff=MODEL.cutoff) for rows in parts]
    (graph,) = grouped(batches, len(batches))
    return graph


@pytest.fixture(scope="module")
def member(bench):
    return jax.tree.map(lambda x: x[1], bench.members())


@pytest.fixture(scope="module")
def whole(bench, member):
    return slope(member, dealt(bench, range(10)), bench.plan, 1)


@pytest.mark.parametrize(
    "parts", [(range(5), range(5, 10)), (range(8), range(8, 10)), ([3, 9, 0, 1, 7, 5, 2], [4, 8, 6])], ids=["5+5", "8+2", "mixed"]
)
def test_the_gradient_of_two_batches_is_that_of_one(bench, member, whole, parts) -> None:
    """With bootstrap weights, which belong to a crystal and not to its place in a batch."""
    found = slope(member, dealt(bench, *parts), bench.plan, 2)
    size = max(float(np.abs(x).max()) for x in jax.tree.leaves(whole.slope))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * size), found.slope, whole.slope)
    for name in ("risk", "weight", "loss/energy", "gradient_norm"):
        assert float(found.metrics[name]) == pytest.approx(float(whole.metrics[name]), rel=1e-5)


def test_a_mean_over_batches_would_be_another_gradient(bench, member, whole) -> None:
    """The test above can fail: batches of 8 and of 2 that count the same give something else."""
    halves = [slope(member, dealt(bench, rows), bench.plan, 1).slope for rows in (range(8), range(8, 10))]
    equal = jax.tree.map(lambda a, b: (a + b) / 2, *halves)
    assert any(not np.allclose(a, b, rtol=1e-2) for a, b in zip(jax.tree.leaves(equal), jax.tree.leaves(whole.slope), strict=True))


def test_the_last_group_is_filled_up_with_what_weighs_nothing(bench, member) -> None:
    batches = [pack([bench.graphs[i] for i in rows], SHAPE, cutoff=MODEL.cutoff) for rows in (range(4), range(4, 8), range(8, 12))]
    first, last = grouped(batches, 2)
    assert first.n_node.shape == last.n_node.shape == (2, SHAPE.n_graph)
    found, alone = slope(member, last, bench.plan, 2), slope(member, batches[2], bench.plan, 1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), found.slope, alone.slope)
    assert float(found.metrics["weight"]) == pytest.approx(float(alone.metrics["weight"]))


def test_a_loss_that_is_not_finite_is_found_in_any_batch(bench, member) -> None:
    for part in (0, 1):
        graph = dealt(bench, range(5), range(5, 10))
        energy = graph.globals.energy.copy()
        energy[part, 3] = np.nan
        found = slope(member, graph._replace(globals=graph.globals._replace(energy=energy)), bench.plan, 2)
        assert int(found.culprit) == 5 * part + 3


def test_one_batch_is_left_as_it_is() -> None:
    batches = [object(), object()]
    assert list(grouped(batches, 1)) == batches


def test_a_fit_accumulates(learner, visible, tmp_path) -> None:
    steps = {}
    for n in (1, 2):
        dataclasses.replace(learner, n_epoch=1, accumulate=n).fit(visible, jax.random.key(0), run_dir=tmp_path / str(n))
        (row,) = read_metrics(tmp_path / str(n) / NAME)
        steps[n] = row["step"]
    assert steps[2] == -(-steps[1] // 2) < steps[1]


@pytest.mark.parametrize(
    ("risk", "says"),
    [
        (Risk(GroupDRO()), "with group_dro: this risk compares"),
        (Risk(VREx()), "vrex"),
        (Risk(CVaR()), "c_?va_?r"),
        (Risk() + Coral(0.1), "coral"),
        (Risk(weights=Importance()), "importance"),
    ],
)
def test_risks_that_compare_crystals_are_refused(risk, says) -> None:
    with pytest.raises(ValueError, match=says):
        check_additive(risk)


def test_a_base_of_your_own_may_say_that_it_is_additive() -> None:
    @spec
    class Mine:
        additive = True
        init, apply = ERM.init, ERM.apply

    check_additive(Risk())
    check_additive(Risk(Mine()))


def test_a_fit_refuses_them_before_it_starts(learner, visible) -> None:
    with pytest.raises(ValueError, match="accumulate > 1 with vrex"):
        dataclasses.replace(learner, accumulate=2, risk=Risk(VREx())).fit(visible, jax.random.key(0))
