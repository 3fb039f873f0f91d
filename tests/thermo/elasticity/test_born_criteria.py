"""The criteria of every class hold exactly where every strain costs energy."""

import numpy as np
import pytest

from matjax.thermo import ELASTIC_CLASSES, born, symmetrise
from matjax.thermo.elasticity.born_criteria import born_criteria


@pytest.mark.parametrize("name", ELASTIC_CLASSES)
def test_criteria_hold_where_the_smallest_eigenvalue_is_positive(name) -> None:
    random = np.random.default_rng(1)
    noise = random.normal(size=(400, 6, 6))
    start = np.diag([2.0, 2, 2, 1, 1, 1]) + 0.8 * np.outer([1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0])
    elastic = np.asarray(symmetrise(start + random.uniform(0, 3, (400, 1, 1)) * (noise + noise.swapaxes(1, 2)), name))
    criteria = born_criteria(elastic, name)
    holds = np.all([np.asarray(value) > 0 for value in criteria.values()], axis=0)
    is_stable = np.asarray(born(elastic)) > 0
    assert 20 < is_stable.sum() < 380
    np.testing.assert_array_equal(holds, is_stable)


def test_copper_is_stable_and_a_lattice_that_prefers_to_shear_is_not() -> None:
    copper = np.diag([49.0, 49, 49, 75, 75, 75]) + 121 * np.outer([1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0])
    assert {k: float(v) for k, v in born_criteria(copper, "cubic").items()} == pytest.approx(
        {"C11 - C12": 49, "C11 + 2 C12": 412, "C44": 75}
    )
    assert float(born_criteria(copper - np.diag([60.0, 60, 60, 0, 0, 0]), "cubic")["C11 - C12"]) == pytest.approx(-11)
    with pytest.raises(ValueError, match="no class"):
        born_criteria(copper, "isotropic")
