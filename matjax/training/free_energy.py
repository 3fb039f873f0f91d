"""Learning from measured free energies: the error of G(T) goes through the thermodynamic head to a network's weights.

Energies of a crystal at several volumes make an equation of state, that a Debye temperature and a Gruneisen parameter, those G(T). Every
step is differentiable, so a potential can be fine-tuned on calorimetry as it is on forces. The network computes in float32 and the head
in float64; gradients meet at the energies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from matjax.config import spec
from matjax.nn import Model
from matjax.simulate.network import energies
from matjax.thermo.free_energy.equation_of_state import fit_equation_of_state
from matjax.thermo.host import float64
from matjax.training.calorimetry import VOLUMES, Calorimetry, Curves, Volumes, calorimetric_energies, forward, member_variables
from matjax.training.optimizer import AdamW
from matjax.training.predictor import GraphPredictor
from matjax.types import Graph


@spec
class FreeEnergyLoss:
    """What is asked of a network's free energies, each term in units of its own scale.

    G(T) of one scalar obeys Gibbs-Helmholtz, Maxwell and Gibbs-Duhem whatever the weights, so that no term need ask for them. What a
    network can get wrong is mechanical: the lattice that is known must be where its energy is lowest, and resist compression.

    Attributes:
      scale: Error of a free energy that counts as 1, eV/atom; errors far above it count linearly (Huber).
      consistency: Weight of the volume: (V0 / V - 1)², V the crystal's own volume, V0 where the network's static energy is lowest.
      volume_scale: Error of the volume that counts as 1.
      anchor: Weight of staying: squared change of the energies over volume from those before training.
      anchor_scale: Change that counts as 1, eV/atom.
      volumes: Where the network is asked.
    """

    scale: float = 0.005
    consistency: float = 0.1
    volume_scale: float = 0.01
    anchor: float = 0.1
    anchor_scale: float = 0.005
    volumes: Volumes = VOLUMES


def fit_free_energies(
    predictor: GraphPredictor,
    data: Calorimetry,
    *,
    loss: FreeEnergyLoss | None = None,
    optimizer: AdamW | None = None,
    n_step: int = 50,
    batch_size: int = 16,
    report: Callable[[dict[str, float]], None] | None = None,
    key: Array,
) -> GraphPredictor:
    """Fine-tunes a potential on measured free energies; every member by itself.

    Args:
      predictor: Where it starts; it is not changed.
      data: What was measured.
      loss: Terms and scales.
      optimizer: AdamW with a small step size if None; `frozen` keeps parameters, as elsewhere in training.
      n_step: Updates.
      batch_size: Crystals per update.
      report: Told after every update: step, loss, mean absolute error (eV/atom) and how many crystals had no minimum.
      key: Order of the crystals.

    Raises:
      ValueError: If no member has a minimum of the energy over volume for any crystal of a batch.
    """
    loss, optimizer = loss or FreeEnergyLoss(), optimizer or AdamW(1e-4, weight_decay=0.0)
    transform = optimizer.build(float(n_step))
    variables, model = member_variables(predictor), predictor.model
    params, state = variables["params"], jax.vmap(transform.init)(variables["params"])
    curves = Curves.of(data.crystals, predictor, loss.volumes, batch_size)
    before = curves.energies(variables, model)
    for step, rows in enumerate(_orders(len(data.crystals), batch_size, n_step, key)):
        graph = curves.batch(rows)
        found, pull = _pull({**variables, "params": params}, graph, model)
        shaped = np.asarray(found)[:, : len(rows) * loss.volumes.n].reshape(len(found), len(rows), loss.volumes.n)
        shaped = shaped / curves.n_atom[rows][None, :, None]
        slopes, told = _slopes(shaped, before[:, rows], curves, rows, data, loss)
        if told["n_without_minimum"] == shaped[..., 0].size:
            raise ValueError(f"step {step}: no crystal has a minimum of its energy over volume; lower the step size, or check the volumes")
        back = np.zeros(found.shape, np.float32)
        back[:, : len(rows) * loss.volumes.n] = (slopes / curves.n_atom[rows][None, :, None]).reshape(len(found), -1)
        params, state = _updated(params, pull(jnp.asarray(back)), state, transform)
        if report is not None:
            report({"step": step + 1, **told})
    return dataclasses.replace(predictor, params=params)


def _orders(n: int, size: int, n_step: int, key: Array) -> list[np.ndarray]:
    """Rows of every update: each crystal once before any comes again."""
    size = min(size, n)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    rows = np.concatenate([rng.permutation(n) for _ in range(-(-n_step * size // n))])
    return [rows[k * size : (k + 1) * size] for k in range(n_step)]


def _pull(variables: Any, graph: Graph, model: Model) -> tuple[Array, Callable[[Array], Any]]:
    """Energies of a batch, and what takes slopes by them to slopes by the parameters (the forward pass is done again there)."""
    return forward(variables, graph, model), lambda slopes: _backward(variables, graph, slopes, model)


@partial(jax.jit, static_argnames="model")
def _backward(variables: Any, graph: Graph, slopes: Array, model: Model) -> Any:
    total = lambda params: jnp.sum(energies(model, {**variables, "params": params}, graph) * slopes)
    return jax.grad(total)(variables["params"])


@partial(jax.jit, static_argnames="transform")
def _updated(params: Any, gradient: Any, state: Any, transform: optax.GradientTransformation) -> tuple[Any, Any]:
    updates, state = jax.vmap(transform.update)(gradient, state, params)
    return optax.apply_updates(params, updates), state


def _slopes(
    found: np.ndarray, before: np.ndarray, curves: Curves, rows: np.ndarray, data: Calorimetry, loss: FreeEnergyLoss
) -> tuple[np.ndarray, dict[str, float]]:
    """Slopes of the loss by energies per atom [n_member, n, n_volume], and what to report."""
    with float64():
        arrays = (found, before, curves.volumes[rows], curves.mass[rows], data.temperatures, np.asarray(data.gibbs)[rows])
        value, slopes, errors = _value_and_slopes(*(jnp.asarray(a, jnp.float64) for a in arrays), loss)
        value, slopes, errors = (np.asarray(a) for a in (value, slopes, errors))
    lost = np.asarray(~np.isfinite(slopes).all(-1))
    told = {"loss": float(value[~lost].mean()) if (~lost).any() else float("nan"), "n_without_minimum": int(lost.sum())}
    known = np.abs(errors[np.isfinite(errors)])
    return np.where(lost[..., None], 0.0, slopes) / max(1, (~lost).sum(1).min()), told | {
        "mae": float(known.mean()) if known.size else np.nan
    }


@jax.jit
def _value_and_slopes(
    found: Array, before: Array, volumes: Array, mass: Array, temperatures: Array, measured: Array, loss: FreeEnergyLoss
) -> tuple[Array, Array, Array]:
    def one(energy: Array, was: Array, volumes: Array, mass: Array, measured: Array) -> tuple[Array, Array]:
        error = calorimetric_energies(volumes, energy, mass, temperatures) - measured
        known = jnp.isfinite(measured)
        size = jnp.where(known, optax.losses.huber_loss(jnp.where(known, error, 0.0) / loss.scale), 0.0).sum() / known.sum()
        centre = (volumes[0] + volumes[-1]) / (loss.volumes.compression + loss.volumes.expansion)
        volume = (fit_equation_of_state(volumes, energy).volume / centre - 1) / loss.volume_scale
        change = (energy - was) / loss.anchor_scale
        return size + loss.consistency * volume**2 + loss.anchor * jnp.mean(change**2), error

    per_crystal = jax.vmap(jax.value_and_grad(one, has_aux=True))
    (value, error), slopes = jax.vmap(per_crystal, (0, 0, None, None, None))(found, before, volumes, mass, measured)
    return value, slopes, error
