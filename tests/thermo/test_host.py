"""Where thermodynamics runs: in float64 everywhere, and on the host where the accelerator has none."""

import logging

import jax
import jax.numpy as jnp
import numpy as np

from matjax.thermo import host
from matjax.thermo.hull.lower_hull import lower_hull

POINTS, ENERGIES = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], [0.0, 0.0, -0.4]


def test_a_tpu_leaves_the_solvers_to_the_host_and_says_so_once(monkeypatch, caplog):
    here = lower_hull([0.25, 0.75], POINTS, ENERGIES)
    chosen = []
    within = jax.default_device
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    monkeypatch.setattr(jax, "default_device", lambda device: chosen.append(device) or within(device))
    host._announce.cache_clear()
    with caplog.at_level(logging.WARNING):
        there = [lower_hull([0.25, 0.75], POINTS, ENERGIES) for _ in range(2)]
    host._announce.cache_clear()
    assert chosen and {device.platform for device in chosen} == {"cpu"}
    assert [r.message for r in caplog.records] == ["thermodynamics needs float64, which a TPU lacks: it runs on the host's CPU"]
    for found in there:
        jax.tree.map(np.testing.assert_array_equal, found, here)


def test_elsewhere_the_device_is_not_chosen_and_the_scope_closes(monkeypatch):
    monkeypatch.setattr(jax, "default_device", lambda device: (_ for _ in ()).throw(AssertionError("chosen")))
    with host.float64():
        assert jnp.ones(1).dtype == jnp.float64
    assert jnp.ones(1).dtype == jnp.float32
