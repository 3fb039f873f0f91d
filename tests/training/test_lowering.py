"""What runs on a GPU or a TPU lowers for it from here, and networks need no float64 there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.nn import Equivariant
from matjax.testing.lowering import PLATFORMS, check_no_float64, float64_operations, lower
from matjax.thermo.hull.lower_hull import lower_hull
from matjax.training.step import predict_step, train_step

HERE = "test_lowering.py"


@pytest.fixture(scope="module")
def model():
    return Equivariant("4x0e+4x1o", n_layer=1, n_basis=4)


@pytest.fixture(scope="module")
def constants():
    return {"average_degree": jnp.float32(20), "scale": jnp.float32(0.5)}


def test_float64_is_found_and_named():
    def one_in_double(x):
        return jnp.sin(x) + jnp.cos(x.astype(jnp.float32)).sum()

    with jax.enable_x64(True):
        found = float64_operations(lower(one_in_double, jnp.ones(3), platform="tpu"))
    sine = [o for o in found if o.name == "stablehlo.sine"]
    assert len(sine) == 1 and "sin" in sine[0].source and HERE in sine[0].source
    assert not any("cos" in o.name for o in found), "the cosine is taken in float32"
    with (
        jax.enable_x64(True),
        pytest.raises(AssertionError, match=r"on tpu these operations need float64:\n(.*\n)*.*stablehlo.sine: .*sin"),
    ):
        check_no_float64(one_in_double, jnp.ones(3), platforms=("tpu",))


def test_float64_is_found_inside_a_loop():
    doubled = lambda x: jax.lax.fori_loop(0, 3, lambda i, y: jnp.exp(y), x)
    with jax.enable_x64(True):
        assert "stablehlo.exponential" in {o.name for o in float64_operations(lower(doubled, jnp.ones(2), platform="cuda"))}
        assert float64_operations(lower(doubled, jnp.ones(2, jnp.float32), platform="cuda")) == ()


def test_a_training_step_needs_no_float64(bench, constants, model):
    batch = jax.tree.map(jnp.asarray, bench.batch())
    static = {"model": model, "derivatives": ("forces", "stress"), "members_per_step": 1}
    check_no_float64(train_step, bench.members(), constants, batch, bench.plan, **static)


def test_a_prediction_with_forces_and_stress_needs_no_float64(bench, constants, model):
    batch = jax.tree.map(jnp.asarray, bench.batch())
    check_no_float64(predict_step, bench.members().params, constants, batch, model=model, derivatives=("forces", "stress"))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_hull_lowers_and_what_needs_float64_is_said(platform):
    points = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    with jax.enable_x64(True):
        hulls = jax.vmap(lower_hull, in_axes=(0, None, None))
        found = float64_operations(lower(hulls, points[2:] * 0.9 + 0.05, points, np.array([0.0, 0.0, -0.4]), platform=platform))
    assert "stablehlo.dot_general" in {o.name for o in found}
    assert any("hull.py" in o.source for o in found)
