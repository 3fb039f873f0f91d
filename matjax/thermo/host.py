"""Float64 for thermodynamics: the scope that every solver opens, and the device that has it.

A TPU computes in float64 by emulation at best, too slowly for solvers; there they run on the host's CPU, and say so once.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import jax

WITHOUT_FLOAT64 = ("tpu",)
"""Backends whose devices cannot run the solvers."""


@contextmanager
def float64() -> Iterator[None]:
    """A scope in which arrays are float64 and what is computed runs on a device that has it.

    What is traced into a caller's own jit runs where the caller's program runs: open this scope around the call as well.
    """
    with jax.enable_x64(True):
        if jax.default_backend() not in WITHOUT_FLOAT64:
            yield
            return
        _announce(jax.default_backend())
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            yield


@functools.cache
def _announce(backend: str) -> None:
    logging.getLogger(__name__).warning("thermodynamics needs float64, which a %s lacks: it runs on the host's CPU", backend.upper())
