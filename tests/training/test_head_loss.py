"""The loss of heads against sums written out, and what does not count in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import Shape, pack, to_graph
from matjax.nn import Equivariant
from matjax.nn.head import Head
from matjax.thermo import References
from matjax.training import Loss
from matjax.training.head_loss import head_error, head_loss, n_labelled, without_targets
from matjax.training.labelling import Labelling
from matjax.types import Crystal, Dataset, Output

GAP, TOTAL, TENSOR, PULL = (
    Head("gap", variance=True, weight=2.0),
    Head("total", reduce="sum"),
    Head("tensor", "0e+2e", weight=0.5),
    Head("pull", "1o", per="atom"),
)
HEADS = (GAP, TOTAL, TENSOR, PULL)
SCALES = {GAP: 0.5, TOTAL: 2.0, TENSOR: 4.0, PULL: 0.1}
RANDOM = np.random.default_rng(0)
SIZES = (2, 3, 1)
N_NODE, N_GRAPH = 16, 5


@pytest.fixture(scope="module")
def batch():
    crystals = tuple(Crystal(4.0 * np.eye(3), 2.0 * np.eye(3)[:n], np.full(n, 8)) for n in SIZES)
    tensors = RANDOM.normal(size=(3, 3, 3))
    labels = {
        "gap": np.array([1.0, np.nan, 3.0]),
        "total": RANDOM.normal(size=3),
        "tensor": tensors + np.swapaxes(tensors, 1, 2),
        "pull": (RANDOM.normal(size=(2, 3)), np.full((3, 3), np.nan), RANDOM.normal(size=(1, 3))),
    }
    data = Dataset(crystals, ("a", "b", "c"), labels, {"part": np.array(["x"] * 3)})
    labelling = Labelling("", References(np.zeros(119)), "part", ("x",), Equivariant(cutoff=3.0), HEADS)
    graphs = labelling.graphs(data)
    target = labelling.unlabelled(data.select([0]), first=3)
    return data, pack([*graphs, *target], Shape(N_NODE, 256, N_GRAPH), cutoff=3.0)


def output() -> Output:
    shapes = {h.name: (N_NODE if h.per == "atom" else N_GRAPH, *h.shape) for h in HEADS}
    heads = {name: jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32) for name, shape in shapes.items()}
    spread = jnp.linspace(-1.0, 1.0, N_GRAPH)
    return Output(jnp.zeros(N_GRAPH), None, jnp.zeros((N_GRAPH, 1)), heads=heads, head_log_variance={"gap": spread})


def test_it_is_the_sum_written_out(batch) -> None:
    data, graph = batch
    said = jax.tree.map(np.asarray, output())
    found = np.asarray(head_loss(output(), graph, SCALES, Loss(shape="mse")._penalty))
    start = np.concatenate([[0], np.cumsum(SIZES)])
    expected = np.zeros(N_GRAPH)
    for i, n in enumerate(SIZES):
        expected[i] += ((said.heads["total"][i] - data.labels["total"][i]) / n / 2.0) ** 2
        expected[i] += 0.5 * np.mean(((said.heads["tensor"][i] - data.labels["tensor"][i]) / 4.0) ** 2)
        if i != 1:
            s = said.head_log_variance["gap"][i]
            expected[i] += 2.0 * 0.5 * (np.exp(-s) * ((said.heads["gap"][i] - data.labels["gap"][i]) / 0.5) ** 2 + s)
            expected[i] += np.mean(((said.heads["pull"][start[i] : start[i + 1]] - data.labels["pull"][i]) / 0.1) ** 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_is_not_labelled_has_no_loss_and_no_slope(batch) -> None:
    _, graph = batch
    np.testing.assert_array_equal(n_labelled(graph), [4, 2, 4, 0, 0])
    slope = jax.grad(lambda heads: jnp.sum(head_loss(output()._replace(heads=heads), graph, SCALES, jnp.abs)))(output().heads)
    assert np.isfinite(slope["pull"]).all() and not np.asarray(slope["pull"])[2:5].any() and not np.asarray(slope["pull"])[6:].any()
    assert not slope["gap"][1] and not np.asarray(slope["tensor"])[3:].any() and np.asarray(slope["tensor"])[:3].all()
    bare = without_targets(graph)
    np.testing.assert_array_equal(head_loss(output(), bare, SCALES, jnp.abs), np.zeros(N_GRAPH))
    atom = to_graph(Crystal(4.0 * np.eye(3), np.zeros((1, 3)), np.array([8])), cutoff=3.0)
    unlabelled = pack([atom], Shape(N_NODE, 256, N_GRAPH), cutoff=3.0)
    assert jax.tree.structure(bare) == jax.tree.structure(unlabelled), "one program predicts both"


def test_the_outcome_counts_heads(batch) -> None:
    _, graph = batch
    outcome = Loss(energy=1.0).outcome(output(), graph, jnp.float32(1.0), {k: jnp.float32(v) for k, v in SCALES.items()})
    np.testing.assert_array_equal(outcome.labelled, [True, True, True, False, False])
    np.testing.assert_allclose(outcome.loss, head_loss(output(), graph, SCALES, Loss()._penalty), rtol=1e-5)
    none = Loss().outcome(output(), without_targets(graph), jnp.float32(1.0), {k: jnp.float32(v) for k, v in SCALES.items()})
    assert not np.asarray(none.labelled).any() and not np.asarray(none.loss).any()


def test_validation_error_is_the_mean_error_of_labelled_crystals(batch) -> None:
    data, graph = batch
    members = output()._replace(heads={k: jnp.stack([v, v + 2.0]) for k, v in output().heads.items()})
    said = {k: np.asarray(v) + 1.0 for k, v in output().heads.items()}
    found = head_error(members, graph, TENSOR, 4.0)
    np.testing.assert_allclose(found, np.abs(said["tensor"][:3] - data.labels["tensor"]).mean((1, 2)) / 4.0, rtol=1e-5)
    np.testing.assert_allclose(head_error(members, graph, GAP, 0.5), np.abs(said["gap"][[0, 2]] - [1.0, 3.0]) / 0.5, rtol=1e-5)
    size = np.array(SIZES)
    np.testing.assert_allclose(
        head_error(members, graph, TOTAL, 2.0), np.abs(said["total"][:3] - data.labels["total"]) / size / 2, rtol=1e-5
    )
