"""Randomness by name: a key is consumed once, and children are named after what they are for."""

from __future__ import annotations

import zlib

import jax
import numpy as np


def child(key: jax.Array, *names: str | int) -> jax.Array:
    """The key for a named purpose: equal names give equal keys, on every machine and run."""
    for name in names:
        key = jax.random.fold_in(key, zlib.crc32(str(name).encode()))
    return key


def generator(key: jax.Array) -> np.random.Generator:
    """A NumPy generator seeded by a JAX key, for shuffles and draws on the host."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).astype(np.uint32))
