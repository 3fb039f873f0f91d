"""How two irreps couple to a third: Clebsch-Gordan coefficients in the normalisation of the network."""

from __future__ import annotations

import functools

import e3nn_jax as e3nn
import numpy as np

from matjax.nn.features import degree


@functools.cache
def clebsch_gordan(path: tuple[str, str, str]) -> np.ndarray:
    """Coefficients [2l1+1, 2l2+1, 2l3+1] in float64, scaled so that factors of unit variance give a product of unit variance.

    Example:
      >>> clebsch_gordan(("1o", "1o", "0e")).shape
      (3, 3, 1)
    """
    l1, l2, l3 = (degree(irrep) for irrep in path)
    coefficients = np.asarray(e3nn.clebsch_gordan(l1, l2, l3) * np.sqrt(2 * l3 + 1), np.float64)
    coefficients.setflags(write=False)
    return coefficients
