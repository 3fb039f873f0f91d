"""From a potential to an alloy: cells are relaxed by every member, and become a landscape that stability is asked of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.progress import Progress

from matjax.config import spec
from matjax.data.elements import number, table
from matjax.simulate.batch_relax import batch_relax
from matjax.simulate.cells import cells, compound_candidates, element_volumes, name_of, solution
from matjax.simulate.elastic_batch import elastic_constants
from matjax.simulate.network import Network, network
from matjax.simulate.prototypes import COMPOUNDS, LATTICES, prototype
from matjax.thermo.alloy.gibbs import Terms
from matjax.thermo.alloy.landscape import SURFACES, Landscape, Points, Surfaces, landscape
from matjax.thermo.alloy.liquid import Liquid
from matjax.thermo.alloy.relaxations import AlloyCell, Store, relaxed
from matjax.thermo.elasticity.moduli import hill
from matjax.types import Candidate, Crystal


@spec
class Sampling:
    """Which cells stand for an alloy, and how they are relaxed.

    Attributes:
      shares: Shares of the first element of every pair whose random solution is looked at.
      lattices: On which lattices. On the others solutions are taken to mix as on the first of these, about their own elements.
      ternaries: Also the equimolar solution of every three elements.
      n_decoration: Cells of each solution.
      prototypes: Ordered structures whose decorations compete: names of COMPOUNDS and FRANK_KASPER.
      n_element: Most different elements of a compound.
      elastic: Elastic constants of the elements, which the solutions' moduli are then mixed of; without them there are no vibrations.
      max_force: Largest force on an atom at rest, eV/Å.
      n_step: Most steps of a relaxation.
      batch_size: Crystals side by side.
    """

    shares: tuple[float, ...] = (0.25, 0.5, 0.75)
    lattices: tuple[str, ...] = LATTICES
    ternaries: bool = True
    n_decoration: int = 1
    prototypes: tuple[str, ...] = COMPOUNDS
    n_element: int = 2
    elastic: bool = True
    max_force: float = 0.02
    n_step: int = 100
    batch_size: int = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Alloy:
    """A landscape of a potential, with the names of what is in it.

    Attributes:
      elements: Symbols, in the order of every composition.
      landscape: With a leading axis of members.
      compounds: Names in the order of the landscape.
      terms: Terms of the Gibbs energy that the landscape can serve.
      cells: One row per cell that counts: name, composition, lattice; enthalpy of mixing or formation of each member, eV/atom.
      set_aside: (name, reason) of what could not be relaxed.
    """

    elements: tuple[str, ...]
    landscape: Landscape
    compounds: tuple[str, ...]
    terms: Terms
    cells: tuple[dict[str, Any], ...]
    set_aside: tuple[tuple[str, str], ...]


def landscape_of(
    potential: Any,
    elements: Sequence[str],
    sampling: Sampling = Sampling(),  # noqa: B008  frozen
    *,
    liquid: Liquid | None = None,
    surfaces: Surfaces = SURFACES,
    cache: Path | str | None = None,
) -> Alloy:
    """The free-energy landscape of some elements in a potential, every member of an ensemble by itself.

    Elements on every lattice in their small cells; random solutions of pairs (and triples) in representative cells whose decorations are
    chosen for pair correlations near to a random alloy's, positions and volume relaxed; ordered compounds with all of their cell relaxed
    (one that goes over into another structure, as L1_0 AlNi into B2, keeps its name).
    A bar shows progress on a terminal.

    Args:
      potential: A trained predictor, `matjax.potential(...)` or (model, variables); see `network`.
      elements: Symbols.
      sampling: Which cells.
      liquid: One more competitor; see `liquid`.
      surfaces: Priors of the landscape.
      cache: File (JSON lines) that keeps every relaxation, by a hash of the crystal, the settings and the member's weights, so that an
        interrupted call goes on, and a second one asks the potential for nothing.

    Raises:
      ValueError: If the potential was not trained on forces and stress or lacks an element, an element did not relax on a lattice, or no
        elastic constants of it were found.

    Source:
      Zunger, Wei, Ferreira & Bernard (1990), Special quasirandom structures; see `cells` for what stands for them here.
    """
    known, wanted = network(potential, needs=("forces", "stress")), list(_cells(tuple(elements), sampling))
    for cell in wanted:
        known.require_elements(cell.crystal)
    store = Store(None if cache is None else Path(cache))
    rows = _relax_all(known, wanted, sampling, store, f"relaxing {len(wanted)} cells of {' '.join(elements)}")
    energy, volume = (np.array([[row[name] for row in member] for member in rows], float) for name in ("energy", "volume"))
    sound = np.isfinite(energy).all(0)
    set_aside = tuple((wanted[i].name, next(m[i]["error"] for m in rows if m[i]["error"])) for i in np.flatnonzero(~sound))
    x = np.array([[np.mean(cell.crystal.numbers == number(s)) for s in elements] for cell in wanted])
    pure = x.max(1) > 1 - 1e-9
    if lost := [wanted[i].name for i in np.flatnonzero(pure & ~sound)]:
        raise ValueError(f"no reference energy: {', '.join(lost)} did not relax: {dict(set_aside)[lost[0]]}")
    bulk, shear = _moduli(known, wanted, rows[0], x, energy, store if sampling.elastic else None)
    lattice, compound = np.array([cell.lattice for cell in wanted]), np.array([cell.is_compound for cell in wanted])
    points = lambda which: Points(lattice[which], x[which], *(y[:, which] for y in (energy, volume, bulk, shear)))
    mass = table()["mass"][[number(s) for s in elements]]
    solutions = _on_every_lattice(points(sound & ~compound), sampling.lattices)
    made = landscape(elements, mass, solutions, points(sound & compound), surfaces, liquid)
    lowest = np.stack([np.where(x[:, k] > 1 - 1e-9, energy, np.inf).min(-1) for k in range(len(elements))], -1)
    told = tuple(
        {
            "name": wanted[i].name,
            "composition": dict(zip(elements, x[i].tolist(), strict=True)),
            "enthalpy": (energy[:, i] - lowest @ x[i]).tolist(),
        }
        for i in np.flatnonzero(sound)
    )
    names = tuple(wanted[i].name for i in np.flatnonzero(sound & compound))
    return Alloy(tuple(elements), made, names, Terms(vibrational=sampling.elastic), told, set_aside)


def _on_every_lattice(known: Points, sampled: Sequence[str]) -> Points:
    """Solutions on lattices that were not sampled mix as on the first that was, about their own elements."""
    x, lattice = np.asarray(known.x), np.asarray(known.lattice)
    pure = x.max(1) > 1 - 1e-9
    elements = lambda k: np.stack(
        [known.enthalpy[:, pure & (lattice == k) & (row > 0.5)][:, 0] for row in x.T], -1
    )  # [n_member, n_element]
    parts = [known]
    for k in [k for k, name in enumerate(LATTICES) if sampled and name not in sampled]:
        first = LATTICES.index(sampled[0])
        rows = ~pure & (lattice == first)
        shift = (elements(k) - elements(first)) @ x[rows].T
        unknown = np.full(shift.shape, np.nan)
        parts.append(Points(np.full(rows.sum(), k), x[rows], known.enthalpy[:, rows] + shift, unknown, unknown, unknown))
    return Points(*(np.concatenate(values, 0 if i < 2 else -1) for i, values in enumerate(zip(*parts, strict=True))))


def _relax_all(known: Network, wanted: Sequence[AlloyCell], sampling: Sampling, store: Store, title: str) -> list[list[dict[str, Any]]]:
    """Every cell in every member, with a bar."""
    members = list(_members(known))
    how = {"max_force": sampling.max_force, "n_step": sampling.n_step, "batch_size": sampling.batch_size}
    with Progress(transient=True) as progress:
        task = progress.add_task(title, total=len(wanted) * len(members))
        return [relaxed(member, wanted, store, lambda n: progress.advance(task, n), **how) for member in members]


def _cells(elements: tuple[str, ...], sampling: Sampling) -> Iterator[AlloyCell]:
    """Elements, solutions, compounds; cells of one size in a row."""
    volumes = element_volumes(elements)
    for k, name in enumerate(LATTICES):
        cell = prototype(name)
        for symbol in elements:
            scale = cell.scale(volumes[symbol])
            crystal = Crystal(cell.vectors * scale, cell.frac_coords @ cell.vectors * scale, np.full(len(cell), number(symbol)))
            yield AlloyCell(f"{name} {symbol}", k, False, crystal, "volume")
    for name in sampling.lattices:
        for candidate in _solutions(elements, name, sampling):
            for crystal in cells(candidate, sampling.n_decoration, volumes):
                yield AlloyCell(candidate.formula, LATTICES.index(name), False, crystal, "volume")
    for candidate in compound_candidates(elements, sampling.prototypes, n_element=sampling.n_element):
        parent = LATTICES.index(prototype(candidate.prototype).lattice)
        yield AlloyCell(name_of(candidate), parent, True, cells(candidate, 1, volumes)[0], "full")


def _solutions(elements: tuple[str, ...], lattice: str, sampling: Sampling) -> Iterator[Candidate]:
    for a, b in combinations(elements, 2):
        for share in sampling.shares:
            first = round(96 * share)
            yield solution(lattice, {a: first, b: 96 - first})
    for triple in combinations(elements, 3) if sampling.ternaries else ():
        yield solution(lattice, dict.fromkeys(triple, 32))


def _members(known: Network) -> Iterator[Network]:
    n = jax.tree.leaves(known.variables)[0].shape[0]
    for k in range(n):
        yield dataclasses.replace(known, variables=jax.tree.map(lambda y, k=k: y[k : k + 1], known.variables))


def _moduli(
    known: Network, wanted: Sequence[AlloyCell], rows: Sequence[dict[str, Any]], x: np.ndarray, energy: np.ndarray, store: Store | None
) -> tuple[np.ndarray, np.ndarray]:
    """Moduli of each element on its lowest lattice [n_member, n], the same on every lattice; unknown elsewhere.

    A lattice that is soft or unstable has no vibrations to speak of, and would win at high temperature by nothing else. Without a store
    they are placeholders, for terms that do not ask for them.
    """
    bulk, shear = np.full(energy.shape, np.nan), np.full(energy.shape, np.nan)
    for k in range(x.shape[1]):
        mine = np.flatnonzero(x[:, k] > 1 - 1e-9)
        values = (1.0, 0.5)
        if store is not None:
            best = int(mine[energy.mean(0)[mine].argmin()])
            key = f"elastic {rows[best]['key']}"
            if key not in store.rows:
                store.add({"key": key, "name": wanted[best].name, "elastic": _elastic(known, wanted[best], rows[best]).tolist()})
            values = hill(np.array(store.rows[key]["elastic"]))
        bulk[:, mine], shear[:, mine] = (float(value) for value in values)
    return bulk, shear


def _elastic(known: Network, cell: AlloyCell, row: dict[str, Any]) -> np.ndarray:
    """Elastic constants [6, 6] of a relaxed cell by the mean over members, eV/Å³."""
    at_rest = Crystal(np.array(row["lattice"]), np.array(row["positions"]), cell.crystal.numbers)
    relaxed = batch_relax(known, [at_rest], cell="full", max_force=0.005)[0]
    (found,) = elastic_constants(known, [relaxed.crystal or at_rest])
    if found.elastic is None:
        raise ValueError(f"no elastic constants of {cell.name}: {found.error}; take Sampling(elastic=False), without vibrations")
    return np.asarray(found.elastic)
