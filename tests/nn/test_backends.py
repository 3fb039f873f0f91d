"""Backends of the edge operation: the same numbers as XLA, and a clear refusal where something is missing."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.nn import backends
from matjax.nn.backends import BACKENDS, cuequivariance_convolve, edge_operation
from matjax.nn.edge_operation import convolve, paths
from matjax.nn.features import channels, degree

needs_cuequivariance = pytest.mark.skipif(
    importlib.util.find_spec("cuequivariance_jax") is None, reason="needs the extra: pip install 'matjax[cuequivariance]'"
)
N_NODE, N_EDGE = 5, 12


def test_xla_is_the_default() -> None:
    assert edge_operation() is convolve is edge_operation("xla")


def test_an_unknown_backend_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=f"unknown backend 'triton'.*allowed: {', '.join(BACKENDS)}"):
        edge_operation("triton")


def test_without_its_package_cuequivariance_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs cuequivariance, cuequivariance_jax.*pip install 'matjax\[cuequivariance\]'.*'xla'"):
        edge_operation("cuequivariance")


def test_without_a_gpu_cuequivariance_is_refused_not_replaced(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    for platform, allowed in (("cpu", False), ("tpu", False), ("gpu", True)):
        monkeypatch.setattr(backends.jax, "default_backend", lambda p=platform: p)
        if allowed:
            assert edge_operation("cuequivariance").func is cuequivariance_convolve
        else:
            with pytest.raises(ValueError, match=f"runs on NVIDIA GPUs, and JAX found '{platform}' devices"):
                edge_operation("cuequivariance")


def test_openequivariance_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'openequivariance' is not connected.*choose 'cuequivariance'"):
        edge_operation("openequivariance")


def random_inputs(irreps: str, harmonics: tuple[str, ...], outputs: tuple[str, ...]):
    random = np.random.default_rng(0)
    features = {ir: random.normal(size=(N_NODE, 2 * degree(ir) + 1, c)) for ir, c in channels(irreps).items()}
    directions = {ir: random.normal(size=(N_EDGE, 2 * degree(ir) + 1)) for ir in harmonics}
    weights = {path: random.normal(size=(N_EDGE, features[path[0]].shape[2])) for path in paths(tuple(features), harmonics, outputs)}
    receivers = np.sort(random.integers(0, N_NODE - 1, N_EDGE)).astype(np.int32)
    senders = random.integers(0, N_NODE, N_EDGE).astype(np.int32)
    return jax.tree.map(jnp.asarray, (features, directions, weights, senders, receivers))


def total(convolve, inputs):
    return sum(jnp.sum(jnp.sin(v)) for v in convolve(*inputs).values())


def values_and_slopes(convolve, inputs):
    return jax.jit(lambda *x: (convolve(*x), jax.grad(lambda y: total(convolve, (*y, *x[3:])))(x[:3])))(*inputs)


def bend(convolve, inputs):
    """A Hessian-vector product: the derivative that training on forces takes."""
    slope = lambda y: jax.grad(lambda y: total(convolve, (*y, *inputs[3:])))(y)
    return jax.jit(lambda y: jax.jvp(slope, (y,), (jax.tree.map(jnp.ones_like, y),))[1])(inputs[:3])


def naive(*inputs):
    """The polynomial that the CUDA kernel is given, evaluated by plain JAX."""
    return cuequivariance_convolve(*inputs, method="naive")


@needs_cuequivariance
@pytest.mark.parametrize(
    ("irreps", "outputs", "derivative"),
    [
        ("4x0e+2x1o", ("0e", "1o"), bend),
        ("4x0e+2x1o+2x2e", ("0e", "1o", "2e"), values_and_slopes),
        ("2x0e+2x1e", ("0o", "1o", "1e"), values_and_slopes),
    ],
)
def test_cuequivariance_is_xla_to_rounding(irreps: str, outputs: tuple[str, ...], derivative) -> None:
    with jax.enable_x64(True):
        inputs = random_inputs(irreps, ("0e", "1o", "2e")[: len(outputs)], outputs)
        expected, found = derivative(convolve, inputs), derivative(naive, inputs)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-10), expected, found)
        assert list(naive(*inputs)) == list(convolve(*inputs)), "paths in another order"


@needs_cuequivariance
def test_members_of_an_ensemble_go_through_cuequivariance_together() -> None:
    features, harmonics, weights, senders, receivers = random_inputs("4x0e+4x1o", ("0e", "1o"), ("0e", "1o"))
    members = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), weights)
    run = lambda w: naive(features, harmonics, w, senders, receivers)
    both = jax.jit(jax.vmap(run))(members)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, jnp.stack([y, 2 * y]), rtol=1e-5, atol=1e-5), both, run(weights))
