"""The invariant twin: the same network without directions, at the same number of parameters.

What equivariance is worth is only seen beside a model that differs in nothing else.
"""

from __future__ import annotations

from typing import Any, TypeVar

import flax.linen as nn
import jax
import numpy as np

from matjax.graph import to_graph
from matjax.nn.derivatives import Model
from matjax.nn.features import channels
from matjax.types import Crystal

M = TypeVar("M", bound=nn.Module)


def n_parameter(model: Model) -> int:
    """Number of trained parameters; nothing is computed."""
    atom = to_graph(Crystal(3 * np.eye(3), np.zeros((1, 3)), np.array([1])), cutoff=model.cutoff)
    variables = jax.eval_shape(model.init, jax.random.key(0), atom)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def invariant_twin(model: M, *, tolerance: float = 0.02) -> M:
    """The same model with scalars only, and so many channels that the parameters are as many.

    Every module with `irreps`, the model and its layers, keeps its scalars and loses the rest; all widths grow by one factor.

    Args:
      model: `Equivariant`, or any flax module with `irreps` (and `layers`, if it has them).
      tolerance: Relative difference in the number of parameters that is allowed.

    Raises:
      ValueError: If no width comes that close, or a width has no scalars to keep.
    """
    first, wanted = _scalars(model.irreps), n_parameter(model)  # type: ignore[attr-defined, arg-type]
    small, large = 1, 2
    size = lambda n: n_parameter(_widened(model, n / first))  # type: ignore[arg-type]
    while size(large) < wanted:
        small, large = large, 2 * large
    while large - small > 1:
        middle = (small + large) // 2
        small, large = (middle, large) if size(middle) < wanted else (small, middle)
    error, best = min((abs(size(n) / wanted - 1), n) for n in (small, large))
    if error > tolerance:
        raise ValueError(
            f"{wanted} parameters: the nearest invariant twin has {size(best)} ({best} channels), {error:.1%} off where {tolerance:.1%} "
            "is allowed; give the model more channels, or a larger tolerance"
        )
    return _widened(model, best / first)


def _widened(module: M, factor: float) -> M:
    """The module, and layers inside it, with scalars only and `factor` times as many."""
    changes: dict[str, Any] = {}
    if hasattr(module, "irreps"):
        changes["irreps"] = f"{max(1, round(factor * _scalars(module.irreps)))}x0e"  # type: ignore[attr-defined]
    if hasattr(module, "layers"):
        changes["layers"] = tuple(_widened(layer, factor) for layer in module.layers)  # type: ignore[attr-defined]
    return module.clone(**changes)


def _scalars(irreps: str) -> int:
    found = channels(irreps).get("0e", 0)
    if not found:
        raise ValueError(f"{irreps!r} has no scalars (0e) to keep in an invariant twin")
    return found
