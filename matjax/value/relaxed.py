"""Relaxed energies of decorated prototypes, per ensemble member, without a neighbour search: the inner loop of the reward."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from matjax.nn import Model, evaluate
from matjax.nn.layout import unplanned
from matjax.nn.sharing import count, repeated
from matjax.simulate.few_steps import Slopes, few_steps
from matjax.simulate.mixed_orbits import supercell_of
from matjax.simulate.prototypes import LATTICES, prototype, representative_cell
from matjax.simulate.template import Template, decorate, template
from matjax.thermo import References
from matjax.types import Crystal

ATOMS_PER_STEP = 512
"""Atoms that go through the network at once: enough to fill two cores, small enough for their caches."""

NEAREST = 2.3
"""Smallest nearest-neighbour distance (Å) that a template serves at the least; crystals with shorter ones get a longer reach."""

SHRINKS = 0.92
"""Smallest ratio of a relaxed to a given nearest-neighbour distance that a template of shorter ones serves."""


class Ensemble(Protocol):
    """What is asked of a predictor: parameters with a leading member axis, and references."""

    @property
    def model(self) -> Any:
        """The network."""
        ...

    @property
    def params(self) -> Any:
        """Parameters with a leading member axis."""
        ...

    @property
    def constants(self) -> Any:
        """Its constants."""
        ...

    @property
    def references(self) -> References:
        """Energies that are added back."""
        ...

    @property
    def supervision(self) -> Any:
        """What the training labels allow."""
        ...


class Relaxed(NamedTuple):
    """What every member says of every cell.

    Attributes:
      enthalpy: Relaxed, with references [n_member, n], eV/atom.
      volume: Relaxed [n_member, n], Å³/atom.
      left: The part of the relaxation that was extrapolated [n_member, n], eV/atom.
      features: Of the first member on the undistorted cell [n, n_feature].
    """

    enthalpy: np.ndarray
    volume: np.ndarray
    left: np.ndarray
    features: np.ndarray


def relaxed_energies(
    ensemble: Ensemble, names: Sequence[str], crystals: Sequence[Crystal], bulk_modulus: np.ndarray, *, n_step: int = 2
) -> Relaxed:
    """Relaxes cells on their prototypes with every member's own forces, positions and volume, and returns their energies.

    Args:
      ensemble: A trained predictor that was taught forces and stress.
      names: Prototype of each crystal.
      crystals: Undistorted cells, as `simulate.cells` makes them; their volume is the first guess.
      bulk_modulus: Estimate per crystal [n], eV/Å³: it sets the size of steps, not where they end.
      n_step: Force evaluations per cell and member.

    Raises:
      ValueError: If the training labels do not support relaxation, or a table of elements was not trained on one of them.
    """
    ensemble.supervision.require("relaxation")
    ensemble.supervision.require("elasticity")
    if getattr(ensemble.model, "embedding", "") == "table":
        ensemble.supervision.require_elements(crystals)
    n_member = count(ensemble.params)
    params = repeated(ensemble.params, n_member)
    n = len(crystals)
    found = {k: np.full((n_member, n), np.nan) for k in ("enthalpy", "volume", "left")}
    features: np.ndarray | None = None
    for name, rows in _by_prototype(names, crystals):
        n_atom = len(crystals[rows[0]])
        spring = _template(name, n_atom, float(ensemble.model.cutoff), _nearest(name, [crystals[i] for i in rows]))
        chunk = max(1, ATOMS_PER_STEP // n_atom)
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            padded = part + [part[-1]] * (chunk - len(part))
            numbers = np.stack([crystals[i].numbers for i in padded])
            scale = np.cbrt(np.array([crystals[i].volume for i in padded]) / float(spring.volume)).astype(np.float32)
            out = _relax(
                params, ensemble.constants, spring, numbers, scale, np.asarray(bulk_modulus[padded], np.float32),
                model=unplanned(ensemble.model, n_atom), n_step=n_step,
            )  # fmt: skip
            energy, volume, left, latent = (np.asarray(x)[..., : len(part)] if i < 3 else np.asarray(x) for i, x in enumerate(out))
            found["enthalpy"][:, part] = energy.astype(np.float64) / n_atom + ensemble.references.per_atom([crystals[i] for i in part])
            found["volume"][:, part] = volume / n_atom
            found["left"][:, part] = left
            features = np.zeros((n, latent.shape[-1]), np.float32) if features is None else features
            features[part] = latent[: len(part)]
    if features is None:
        raise ValueError("no cells to relax; the list is empty")
    return Relaxed(found["enthalpy"], found["volume"], found["left"], features)


def _by_prototype(names: Sequence[str], crystals: Sequence[Crystal]) -> list[tuple[str, list[int]]]:
    groups: dict[tuple[str, int], list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault((name, len(crystals[i])), []).append(i)
    return [(name, rows) for (name, _), rows in groups.items()]


def _nearest(name: str, crystals: Sequence[Crystal]) -> float:
    """Smallest nearest-neighbour distance (Å) to be ready for, in steps of 0.2 below NEAREST, so that few templates are made."""
    smallest = prototype(name).scale(min(c.volume / len(c) for c in crystals)) * SHRINKS
    return min(NEAREST, NEAREST - 0.2 * float(np.ceil((NEAREST - smallest) / 0.2)))


@functools.lru_cache(maxsize=32)
def _template(name: str, n_atom: int, cutoff: float, nearest: float) -> Template:
    if name in LATTICES and n_atom == len(representative_cell(name)):
        cell = representative_cell(name)
    else:
        cell = prototype(name) if n_atom == len(prototype(name)) else supercell_of(name, n_atom)
    return template(cell, cutoff / nearest)


@functools.partial(jax.jit, static_argnames=("model", "n_step"))
def _relax(
    params: Any, constants: Any, spring: Template, numbers: jax.Array, scale: jax.Array, bulk: jax.Array, *, model: Model, n_step: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Energy above the references, volume and what was extrapolated [n_member, b]; features [b, n_feature] of the first member."""
    b, n_atom = numbers.shape

    def one(member: Any) -> tuple[jax.Array, ...]:
        def potential(now: jax.Array, displacements: jax.Array) -> Slopes:
            graph = decorate(spring, numbers, now, displacements)
            out = evaluate(model, {"params": member, "constants": constants}, graph)
            trace = jnp.trace(out.stress, axis1=1, axis2=2) / 3  # type: ignore[arg-type]
            return Slopes(out.energy, out.forces.reshape(b, n_atom, 3), trace * graph.globals.volume)  # type: ignore[union-attr]

        rest = few_steps(potential, spring, scale, bulk, n_step=n_step)
        return rest.energy, rest.scale**3 * spring.volume, rest.left

    energy, volume, left = jax.lax.map(one, params)
    first = jax.tree.map(lambda x: x[0], params)
    ideal = decorate(spring, numbers, scale, jnp.zeros((b, n_atom, 3)))
    return energy, volume, left, model.apply({"params": first, "constants": constants}, ideal).features
