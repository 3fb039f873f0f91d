"""Composition sets: the phases of a batch of mixtures with their site fractions and amounts, and the system they are of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from matjax.thermo.calphad import newton
from matjax.thermo.calphad.jets import coefficients, jets, mixing, value
from matjax.thermo.calphad.newton import Model
from matjax.thermo.calphad.samples import Samples, Table, samples
from matjax.thermo.calphad.screen import BLOCK, thinned
from matjax.thermo.calphad.system import System
from matjax.thermo.calphad.variants import Variants

FEW, MANY = 16, 128
"""Rows of a batch: enough to hide what a call costs, and few enough to wait for few stragglers."""


@dataclass(frozen=True)
class Prepared:
    """A system with what is worked out once for all its equilibria."""

    model: Model
    samples: Samples
    table: Table
    points: np.ndarray
    thin: np.ndarray
    content: np.ndarray
    mixes: np.ndarray
    variants: Variants

    @property
    def shape(self) -> tuple[int, int]:
        """Elements and constituents."""
        return self.content.shape[2], self.content.shape[1]


def prepare(system: System) -> Prepared:
    """Expands and samples the phases of a system."""
    model = newton.model(system, jets(system))
    variants = Variants(model)
    found = samples(model, variants)
    points = np.resize(found.x, (-(-len(found.x) // BLOCK) * BLOCK, found.x.shape[1]))
    return Prepared(model, found, Table(model, found), points, thinned(found.start), np.asarray(system.content), mixing(system), variants)


class Sets(NamedTuple):
    """Composition sets of a batch: phase [B, C], -1 = none; y [B, C, Y]; formula units [B, C]; chemical potentials [B, C]; solved [B]."""

    phase: np.ndarray
    y: np.ndarray
    amounts: np.ndarray
    potentials: np.ndarray
    solved: np.ndarray


def batched(kernel, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Runs a kernel over rows in batches of two sizes, so that two programs are compiled; what is missing in the last is repeated."""
    n, parts, first = len(arrays[0]), [], 0
    while first < n:
        size = MANY if n - first > 2 * FEW else FEW
        rows = np.minimum(np.arange(first, first + size), n - 1)
        parts.append(jax.tree.leaves(kernel(*(a[rows] for a in arrays))))
        first += size
    return tuple(np.concatenate([np.asarray(leaf) for leaf in column])[:n] for column in zip(*parts, strict=True))


def inside(prepared: Prepared, phase: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Site fractions off the faces: a thousandth is spread over the constituents whose elements are there."""
    member = np.asarray(prepared.model.member)[phase]
    foreign = np.einsum("...yc,...c->...y", prepared.content[phase], np.broadcast_to((x <= 0)[:, None], (*phase.shape, x.shape[1]))) > 0
    allowed = (member.any(-2) & ~foreign).astype(float)
    count = np.einsum("...sy,...y->...s", member, allowed)
    even = allowed * np.einsum("...sy,...s->...y", member, 1 / np.maximum(count, 1))
    return 0.999 * np.where(foreign, 0.0, y) + 0.001 * even


def moles(prepared: Prepared, phase: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Atoms of each element per formula unit [..., C]; zeros where there is no phase."""
    amount = np.einsum("...y,...yc->...c", y * np.asarray(prepared.model.sites)[phase], prepared.content[phase])
    return np.where((phase >= 0)[..., None], amount, 0.0)


@jax.jit
def _energies(model: Model, phase, y, temperature):
    one = lambda p, y, t: value(model.jets, model.system, p, y, t, coefficients(model.jets, model.system, p, t))
    return jax.vmap(one)(phase, y, temperature)


def energies(prepared: Prepared, phase: np.ndarray, y: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Energies per formula unit of phases [n] with site fractions [n, Y]."""
    return batched(partial(_energies, prepared.model), (phase, y, temperature))[0]
