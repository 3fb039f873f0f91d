"""The invariant twin: no directions, as many parameters."""

import jax
import numpy as np
import pytest

from matjax.nn import Equivariant
from matjax.nn.invariant import invariant_twin, n_parameter
from matjax.nn.many_body import ManyBody
from matjax.nn.nequip import nequip
from matjax.testing.crystals import random_crystal, to_double_graph


def counted(model: Equivariant) -> int:
    """Parameters of the model as it is made for a crystal."""
    graph = to_double_graph(random_crystal(np.random.default_rng(0), (8, 26)), model.cutoff)
    return sum(x.size for x in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0), graph)["params"]))


@pytest.mark.parametrize(
    "model",
    [
        Equivariant(),
        Equivariant("64x0e+32x1o+16x2e", n_layer=3, radial=(32,), variance=True),
        nequip("32x0e+16x1o"),
        Equivariant("32x0e+16x1o", n_layer=1, layers=(ManyBody("32x0e+16x1o"),)),
    ],
    ids=("default", "tapering", "nequip", "many-body"),
)
def test_it_differs_in_its_irreps_alone(model: Equivariant) -> None:
    twin = invariant_twin(model)
    assert counted(model) == n_parameter(model)
    assert counted(twin) == pytest.approx(counted(model), rel=0.02)
    for part in (twin, *twin.layers):
        assert part.irreps.endswith("x0e") and "+" not in part.irreps
    assert int(twin.irreps.split("x")[0]) > int(model.irreps.split("x")[0])
    assert twin.clone(irreps=model.irreps, layers=model.layers) == model


def test_a_twin_that_cannot_come_close_enough_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the nearest invariant twin has \d+ .*0.0% is allowed"):
        invariant_twin(Equivariant(), tolerance=0.0)
    with pytest.raises(ValueError, match="'8x1o' has no scalars"):
        invariant_twin(Equivariant("8x1o"))
