"""Which parameters are trained, and how fast: frozen ones and factors on the step size, by patterns on their paths.

The path of a parameter is the names on the way to it, such as `interaction_0/linear/linear_0e/kernel`. A pattern is a path
with wild cards (`*` also passes slashes), or the path of a folder, which stands for everything inside: `element` and
`element/*` are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp
import optax

from matjax.config import spec


@spec
class Rate:
    """A factor on the step size of the parameters that a pattern names.

    Attributes:
      pattern: Of their paths.
      factor: On every change, weight decay included.
    """

    pattern: str
    factor: float


def selective(inner: optax.GradientTransformation, frozen: tuple[str, ...], rates: tuple[Rate, ...]) -> optax.GradientTransformation:
    """The transformation on what is not frozen, its changes times the first rate that names the parameter.

    Frozen parameters never change: they get no decay, have no state, and their gradients do not count in the norm that clipping
    compares.

    Raises:
      ValueError: At `init`, if a pattern names no parameter, or none is left to train.
    """
    if not frozen and not rates:
        return inner

    def init(params: Any) -> Any:
        _check(paths(params), frozen, rates)
        return inner.init(_trained(params, frozen))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("a selective update needs the parameters")
        change, state = inner.update(_trained(updates, frozen), state, _trained(params, frozen))
        faster = {path: _factor(path, rates) * value for path, value in change.items()}  # type: ignore[union-attr]
        return jax.tree_util.tree_map_with_path(lambda path, p: faster.get(_text(path), jnp.zeros_like(p)), params), state

    return optax.GradientTransformation(init, update)


def stop_frozen(params: Any, frozen: tuple[str, ...]) -> Any:
    """The parameters; no gradient flows to the frozen ones, which spares its cost."""
    stop = lambda path, p: jax.lax.stop_gradient(p) if _named(_text(path), frozen) else p
    return jax.tree_util.tree_map_with_path(stop, params) if frozen else params


def paths(params: Any) -> tuple[str, ...]:
    """Path of every parameter."""
    return tuple(_text(path) for path, _ in jax.tree_util.tree_leaves_with_path(params))


def _text(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _named(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern.rstrip('/')}/*") for pattern in patterns)


def _trained(tree: Any, frozen: tuple[str, ...]) -> dict[str, jax.Array]:
    """{path: leaf} of what is not frozen."""
    leaves = ((_text(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree))
    return {path: leaf for path, leaf in leaves if not _named(path, frozen)}


def _factor(path: str, rates: tuple[Rate, ...]) -> float | jax.Array:
    return next((rate.factor for rate in rates if _named(path, (rate.pattern,))), 1.0)


def _check(known: tuple[str, ...], frozen: tuple[str, ...], rates: tuple[Rate, ...]) -> None:
    for pattern in (*frozen, *(rate.pattern for rate in rates)):
        if not any(_named(path, (pattern,)) for path in known):
            raise ValueError(f"no parameter is named {pattern!r}; there are: {', '.join(sorted(known))}")
    if all(_named(path, frozen) for path in known):
        raise ValueError(f"frozen={list(frozen)} leaves no parameter to train")
