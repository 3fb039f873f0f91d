"""Landscapes that tests of the thermodynamic head share: with given coefficients, and fitted to random data."""

from collections.abc import Callable, Sequence
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.alloy.landscape import Landscape, Points
from matjax.thermo.alloy.solution import Surface, n_basis

SYMBOLS = ("Al", "Co", "Cr", "Cu", "Fe", "Ni")
MASSES = (26.98, 58.93, 52.0, 63.55, 55.85, 58.69)


def points(lattice: np.ndarray, x: np.ndarray, enthalpy: np.ndarray, rng: np.random.Generator, known: bool = True) -> Points:
    """Data with smooth moduli and volumes, or unknown ones."""
    n_element = x.shape[1]
    smooth = (x @ rng.uniform(low, high, n_element) for low, high in ((11, 17), (0.6, 1.6), (0.3, 0.8)))
    volume, bulk, shear = (np.broadcast_to(y if known else np.nan, enthalpy.shape).copy() for y in smooth)
    return Points(lattice, x, enthalpy, volume, bulk, shear)


def compositions(n_element: int) -> np.ndarray:
    """Elements, three points per pair, one per triple."""
    rows = [np.eye(n_element)]
    for pair in combinations(range(n_element), 2):
        for share in (0.25, 0.5, 0.75):
            rows.append((np.eye(n_element)[list(pair)] * np.array([[share], [1 - share]])).sum(0, keepdims=True))
    rows += [np.eye(n_element)[list(triple)].mean(0, keepdims=True) for triple in combinations(range(n_element), 3)]
    return np.concatenate(rows)


@pytest.fixture(scope="session")
def random_data() -> Callable[..., tuple[tuple[str, ...], np.ndarray, Points, Points]]:
    """(n_element, seed, n_member=None, strength=0.3) -> arguments of `landscape`: three lattices, one compound per pair."""

    def make(n_element: int, seed: int, n_member: int | None = None, strength: float = 0.3):
        rng = np.random.default_rng(seed)
        x = compositions(n_element)
        reference, noise = rng.uniform(-8, -3, n_element), () if n_member is None else (n_member,)
        enthalpy = []
        for _ in range(3):
            pair = np.triu(rng.normal(-0.05, strength, (n_element, n_element)), 1)
            value = x @ (reference + rng.uniform(0, 0.1, n_element)) + np.einsum("ki,ij,kj->k", x, pair, x)
            enthalpy.append(value + 0.01 * rng.normal(size=(*noise, len(x))) * (x.max(1) < 1))
        lattice = np.repeat(np.arange(3), len(x))
        solutions = points(lattice, np.tile(x, (3, 1)), np.concatenate(enthalpy, -1), rng)
        pairs = x[(x > 0).sum(1) == 2][::3]
        depth = rng.uniform(-0.2, 0, (*noise, len(pairs))) + np.broadcast_to(pairs @ reference, (*noise, len(pairs)))
        compounds = points(np.zeros(len(pairs), int), pairs, depth, rng, known=False)
        return SYMBOLS[:n_element], np.array(MASSES[:n_element]), solutions, compounds

    return make


@pytest.fixture(scope="session")
def given_landscape() -> Callable[..., Landscape]:
    """(n_element, {lattice: {basis function: coefficient}}, compounds [(x, enthalpy)]) -> landscape with all else alike.

    Lattices that are not named lie 1 eV/atom higher. There are always three compounds; those that are not given lie far above.
    """

    def make(n_element: int, coefficients: dict[int, dict[int, float]], compounds: Sequence[tuple[Sequence[float], float]] = ()):
        compounds = [*compounds, *[(np.eye(n_element)[0], 9.0)] * (3 - len(compounds))]
        n, n_compound = n_basis(n_element), len(compounds)
        mean = np.zeros((3, n))
        for lattice in range(3):
            mean[lattice, :n_element] = 0.0 if lattice in coefficients else 1.0
            for number, value in coefficients.get(lattice, {}).items():
                mean[lattice, number] = value
        with jax.enable_x64(True):
            surface = lambda mean: Surface(jnp.asarray(mean, jnp.float64), jnp.tile(jnp.eye(n)[None], (3, 1, 1)))
            constant = lambda value: surface(np.tile(np.where(np.arange(n) < n_element, np.log(value), 0.0), (3, 1)))
            return Landscape(
                surface(mean),
                constant(1.0),
                constant(0.5),
                constant(13.0),
                jnp.full(n_element, 55.0),
                jnp.zeros(n_element),
                jnp.asarray([x for x, _ in compounds], jnp.float64).reshape(n_compound, n_element),
                jnp.asarray([h for _, h in compounds], jnp.float64).reshape(n_compound),
                jnp.full(n_compound, np.log(1.0)),
                jnp.full(n_compound, np.log(0.5)),
                jnp.full(n_compound, np.log(13.0)),
            )

    return make
