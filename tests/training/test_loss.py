"""The loss per crystal against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import Shape, pack, to_graph
from matjax.training import Loss
from matjax.types import Crystal, Output
from matjax.uncertainty.scores import gaussian_crps

SCALE = 0.7


@pytest.fixture(scope="module")
def batch():
    random = np.random.default_rng(0)
    line = lambda n: Crystal(9 * np.eye(3), 1.2 * np.arange(n)[:, None] * np.ones((1, 3)), np.full(n, 26))
    labels = [
        {"energy": 1.3, "forces": random.normal(size=(2, 3)), "stress": random.normal(size=(3, 3))},
        {"energy": np.nan, "forces": random.normal(size=(3, 3))},
        {"energy": -2.0, "forces": np.full((1, 3), np.nan), "stress": np.full((3, 3), np.nan)},
        {"energy": np.nan},
    ]
    graphs = [to_graph(line(n), cutoff=3.0, **label) for n, label in zip((2, 3, 1, 2), labels, strict=True)]
    return pack(graphs, Shape(12, 64, 6), cutoff=3.0)


@pytest.fixture(scope="module")
def output():
    random = np.random.default_rng(1)
    numbers = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
    return Output(numbers(6), numbers(6), numbers(6, 4), numbers(12, 3), numbers(6, 3, 3))


def penalty(error: float, shape: str, delta: float) -> float:
    if shape == "mae":
        return abs(error)
    if shape == "mse":
        return error**2
    return 0.5 * error**2 if abs(error) < delta else delta * (abs(error) - 0.5 * delta)


@pytest.mark.parametrize("shape", ["huber", "mae", "mse", "nll"])
def test_is_its_formula(batch, output, shape: str) -> None:
    loss = Loss(energy=2.0, forces=3.0, stress=5.0, shape=shape, delta=0.4)
    found = loss.outcome(output, batch, jnp.float32(SCALE))
    of = lambda error: penalty(float(error), shape, 0.4)
    g, start = batch.globals, 0
    for i in range(4):
        n = int(batch.n_node[i])
        error = float(output.energy[i] - g.energy[i]) / n / SCALE
        log_variance = float(output.log_variance[i])
        energy = 0.5 * (error**2 / np.exp(log_variance) + log_variance) if shape == "nll" else of(error)
        forces = np.mean([of(e / SCALE) for e in np.ravel(output.forces[start : start + n] - batch.nodes.forces[start : start + n])])
        strain = (output.stress[i] - g.stress[i]) * g.volume[i] / n  # eV per atom and unit strain
        stress = np.mean([of(e / SCALE) for e in np.ravel(strain)])
        has = [(1, 1, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0)][i]
        expected = 2 * energy * has[0] + 3 * forces * has[1] + 5 * stress * has[2] if shape != "nll" else None
        if shape == "nll":  # forces and stress keep Huber's penalty
            huber = lambda values: np.mean([penalty(float(v) / SCALE, "huber", 0.4) for v in np.ravel(values)])
            forces = huber(output.forces[start : start + n] - batch.nodes.forces[start : start + n])
            expected = 2 * energy * has[0] + 3 * forces * has[1] + 5 * huber(strain) * has[2]
        assert float(found.loss[i]) == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert float(found.error[i]) == pytest.approx(error * has[0], rel=1e-4)
        start += n


def test_crps_is_the_closed_form_of_the_host_with_finite_slopes_and_outliers_move_its_minimum_less() -> None:
    of_error = jax.jit(lambda e, v: (Loss(shape="crps").of_error(e, v), Loss(shape="nll").of_error(e, v)))
    random = np.random.default_rng(0)
    error = (1.5 * random.normal(size=4000)).astype(np.float32)
    error[:20] = 60.0
    spreads = np.linspace(0.5, 7.0, 66)
    crps, nll = (np.asarray(x).mean(1) for x in of_error(*np.broadcast_arrays(error, (2 * np.log(spreads)).astype(np.float32)[:, None])))
    np.testing.assert_allclose(crps, [gaussian_crps(error, np.full(4000, s)) for s in spreads], rtol=1e-4)
    assert spreads[crps.argmin()] == pytest.approx(1.5, abs=0.15) and spreads[nll.argmin()] > 3
    extreme = jnp.array([0.0, 1e3, -1e3]), jnp.array([-20.0, -20.0, 20.0])
    slopes = jax.jit(jax.grad(lambda e, v: jnp.sum(Loss(shape="crps").of_error(e, v)), argnums=(0, 1)))(*extreme)
    assert all(np.isfinite(slope).all() for slope in slopes)
    with pytest.raises(ValueError, match="loss shape 'crps' needs a model with a variance head"):
        Loss(shape="crps").of_error(jnp.ones(2), None)


def test_what_has_no_label_is_unlabelled_and_costs_nothing(batch, output) -> None:
    found = Loss().outcome(output, batch, jnp.float32(SCALE))
    assert found.labelled.tolist() == [True, True, True, False, False, False]
    assert found.mask.tolist() == [True] * 4 + [False] * 2
    assert not np.asarray(found.loss)[3:].any() and np.isfinite(found.loss).all()


def test_forces_count_only_where_they_are_asked_for(batch, output) -> None:
    without = Loss(forces=0.0, stress=0.0).outcome(output, batch, jnp.float32(SCALE)).loss
    bare = Loss().outcome(output._replace(forces=None, stress=None), batch, jnp.float32(SCALE)).loss
    np.testing.assert_allclose(without, bare)
    assert without[1] == 0, "a crystal with forces alone has no energy loss"


def forces_loss(batch, output, labels, **settings):
    """What the forces of a crystal of three atoms cost."""
    forces = np.zeros((12, 3), np.float32)
    forces[2:5] = labels
    labelled = batch._replace(nodes=batch.nodes._replace(forces=forces))
    return float(Loss(energy=0, forces=1, stress=0, **settings).outcome(output, labelled, jnp.float32(SCALE)).loss[1])


@pytest.mark.parametrize(
    ("size", "factor"), [(1, 1.0), (99.9, 1.0), (100.1, 0.7), (199, 0.7), (201, 0.4), (299, 0.4), (301, 0.1), (1e4, 0.1)]
)
def test_the_conditional_huber_loss_shrinks_its_delta_where_forces_are_large(batch, output, size, factor) -> None:
    labels = np.array([[size, 0, 0], [0, 0.6 * size, 0.8 * size], [0.1, 0.2, 0.3]])  # the third atom keeps the whole delta
    errors = (np.asarray(output.forces[2:5]) - labels) / SCALE
    expected = [penalty(float(e), "huber", 0.4 * f) for row, f in zip(errors, (factor, factor, 1.0), strict=True) for e in row]
    assert forces_loss(batch, output, labels, delta=0.4, force_shape="conditional_huber") == pytest.approx(np.mean(expected), rel=1e-4)
    if factor == 1.0:
        assert forces_loss(batch, output, labels, delta=0.4) == pytest.approx(np.mean(expected), rel=1e-4)


def test_the_l2_loss_is_the_length_of_the_error_and_no_rotation_changes_it(batch, output) -> None:
    random = np.random.default_rng(3)
    labels, rotation = random.normal(size=(3, 3)), np.linalg.qr(random.normal(size=(3, 3)))[0]
    found = forces_loss(batch, output, labels, force_shape="l2")
    assert found == pytest.approx(np.mean(np.linalg.norm(np.asarray(output.forces[2:5]) - labels, axis=1)) / SCALE, rel=1e-5)
    turned = output._replace(forces=jnp.asarray(np.asarray(output.forces) @ rotation.T, jnp.float32))
    assert forces_loss(batch, turned, labels @ rotation.T, force_shape="l2") == pytest.approx(found, rel=1e-5)
    assert forces_loss(batch, turned, labels @ rotation.T) != pytest.approx(forces_loss(batch, output, labels), rel=1e-3)


def test_the_l2_loss_has_a_gradient_where_there_is_no_error(batch, output) -> None:
    loss = lambda forces: Loss(force_shape="l2").outcome(output._replace(forces=forces), batch, jnp.float32(SCALE)).loss.sum()
    assert np.isfinite(jax.grad(loss)(jnp.asarray(batch.nodes.forces))).all()


def test_the_terms_add_up_to_the_loss(batch, output) -> None:
    terms = Loss().terms(output, batch, jnp.float32(SCALE))
    assert list(terms) == ["energy", "forces", "stress"]
    np.testing.assert_allclose(sum(terms.values()), Loss().outcome(output, batch, jnp.float32(SCALE)).loss, rtol=1e-6)


def test_refusals(batch, output) -> None:
    with pytest.raises(ValueError, match="'l2'; allowed: huber, mae, mse, nll"):
        Loss(shape="l2")
    with pytest.raises(ValueError, match="force_shape is 'nll'; allowed: '', huber, mae, mse, l2, conditional_huber"):
        Loss(force_shape="nll")
    with pytest.raises(ValueError, match="variance head; set model.variance"):
        Loss(shape="nll").outcome(output._replace(log_variance=None), batch, jnp.float32(SCALE))


@pytest.mark.parametrize("shape", ["huber", "nll"])
def test_the_slope_is_the_derivative_by_a_common_factor(batch, output, shape: str) -> None:
    """Energies, forces and stress times w, by central differences at w = 1; variances stay; the loss is the same with and without."""
    loss, step = Loss(shape=shape, force_shape="mse", delta=0.4), 1e-2
    scaled = lambda w: output._replace(energy=w * output.energy, forces=w * output.forces, stress=w * output.stress)
    of = lambda said, slope=False: loss.outcome(said, batch, jnp.float32(SCALE), slope=slope)
    found = of(output, True)
    np.testing.assert_allclose(found.loss, of(output).loss, rtol=1e-6)
    assert of(output).slope is None
    expected = (of(scaled(1 + step)).loss - of(scaled(1 - step)).loss) / (2 * step)
    np.testing.assert_allclose(np.asarray(found.slope), expected, rtol=2e-2, atol=1e-2)
    np.testing.assert_allclose(found.prediction[:4] * SCALE * batch.n_node[:4], output.energy[:4], rtol=1e-5)
