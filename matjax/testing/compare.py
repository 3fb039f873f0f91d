"""How the contracts compare trees of arrays: with a message that says which law was broken."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def assert_finite(tree: Any, where: str) -> None:
    """Every number of the tree is finite."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        assert np.isfinite(leaf).all(), f"{where}: {jax.tree_util.keystr(path)} is not finite: {leaf}"


def assert_close(expected: Any, found: Any, message: str, *, rtol: float = 2e-4, atol: float = 2e-5) -> None:
    """The trees agree leaf by leaf; `atol` counts in units of one."""
    compare = lambda a, b: np.testing.assert_allclose(b, a, rtol=rtol, atol=atol, err_msg=message)
    jax.tree.map(compare, expected, found)


def assert_dtype(tree: Any, dtype: Any, where: str) -> None:
    """Every array of the tree has this floating-point type."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        assert leaf.dtype == dtype, f"{where}: {jax.tree_util.keystr(path)} is {leaf.dtype} where all that came in was {np.dtype(dtype)}"


def as_double(tree: Any, random: np.random.Generator) -> Any:
    """The tree in float64, jittered so that no parameter is at a special value such as zero."""
    return jax.tree.map(lambda x: np.asarray(x, np.float64) + 0.1 * random.normal(size=np.shape(x)), tree)


def as_dtype(tree: Any, dtype: Any) -> Any:
    """The tree with its floating-point leaves cast, integers and booleans kept."""
    return jax.tree.map(lambda x: np.asarray(x, dtype) if np.issubdtype(np.asarray(x).dtype, np.floating) else x, tree)
