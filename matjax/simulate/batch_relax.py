"""Relaxation of thousands of crystals with a network: a queue on the host, a packed batch on the device.

Crystals of any size share one padded graph and one compiled program. Neighbour lists reach a skin farther than the cutoff; the
device comes back when a step would leave it, or when enough crystals are at rest for new ones to take their places.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from matjax.graph import Shape, pack, shape_for, to_graph
from matjax.nn.layout import too_large, with_room
from matjax.simulate.evidence import evidence
from matjax.simulate.network import Network, network
from matjax.simulate.quasi_newton import State, wanted
from matjax.simulate.relax import Cell
from matjax.simulate.relax_round import Goal, Report, blank, joined, relax_round, split
from matjax.types import Crystal, Graph, Result

VOLUME = (0.3, 3.0)
"""A crystal whose volume leaves this range, relative to the given one, has fallen apart or collapsed."""

ROOM = 0.85
"""Part of a batch that is filled with crystals; the rest is for neighbours that come nearer."""

GROWTH = 1.5
"""By how much a batch grows whose crystals no longer fit."""

_log = logging.getLogger(__name__)


def batch_relax(
    potential: Any,
    crystals: Sequence[Crystal],
    *,
    cell: Cell = "full",
    max_force: float = 0.02,
    max_stress: float = 3e-4,
    n_step: int = 300,
    max_move: float = 0.15,
    skin: float = 0.3,
    batch_size: int = 32,
) -> list[Result]:
    """Relaxes crystals with a network, many side by side.

    The quasi-Newton method of `relax`, one memory per crystal. Crystals that are at rest make room for others. Energies are
    summed in the network's precision and referenced in float64.

    Args:
      potential: A trained predictor, or (model, variables); see `network`. Of an ensemble the mean energy is minimised.
      crystals: Any number, any size.
      cell: "fixed", "volume" (isotropic) or "full" (all six strains); the latter two need crystals that are periodic along a, b, c.
      max_force: Converged below this force on every atom, eV/Å,
      max_stress: and this stress (for "volume" its isotropic part), eV/Å³; 3e-4 is 0.05 GPa.
      n_step: At most so many evaluations per crystal.
      max_move: Longest move of an atom in a step, Å.
      skin: How much farther than the cutoff neighbours are looked up, Å: on a processor, where edges cost more than looking, a small
        one; on an accelerator 0.5 to 1.
      batch_size: Average crystals side by side; an accelerator wants hundreds.

    Returns:
      One result per crystal, in order: status, relaxed crystal, `energy_per_atom` and `volume_per_atom`, evidence. A crystal
      that cannot be relaxed is a result with status "failed" that says why.

    Raises:
      ValueError: If the potential was not trained on what a relaxation needs, or a setting is out of range.
    """
    if cell not in ("fixed", "volume", "full"):
        raise ValueError(f"cell is {cell!r}; allowed: fixed, volume, full")
    if not (skin > 0 and batch_size > 0 and n_step > 0):
        raise ValueError(f"skin={skin}, batch_size={batch_size}, n_step={n_step}: all must be positive")
    begin = time.perf_counter()
    known = network(potential, needs=("forces",) if cell == "fixed" else ("forces", "stress"))
    refused = {i: error for i, crystal in enumerate(crystals) if (error := _objection(crystal, cell, known))}
    results = {i: Result("failed", error=error) for i, error in refused.items()}
    batch = _Batch(known, cell, Goal(max_force, max_stress, n_step, max_move), skin)
    waiting = deque(sorted((i for i in range(len(crystals)) if i not in refused), key=lambda i: -len(crystals[i])))  # large ones first
    if waiting:
        sample = {waiting[0], *list(waiting)[:: max(1, len(waiting) // 128)]}
        batch.shape = shape_for([to_graph(crystals[i], cutoff=batch.reach) for i in sample], batch_size, slack=1.1 / ROOM)
    live: list[_Live] = []
    while live or waiting:
        while waiting and batch.has_room(live, started := _Live.begin(waiting[0], crystals[waiting[0]], batch.reach)):
            live.append(started)
            waiting.popleft()
        reports = batch.run(live, is_hungry=bool(waiting))
        done = {one.index: result for one, report in zip(live, reports, strict=True) if (result := batch.result(one, report))}
        live = [batch.listed_anew(one, report) for one, report in zip(live, reports, strict=True) if one.index not in done]
        results |= done
    share = (time.perf_counter() - begin) / max(len(crystals), 1)
    return [dataclasses.replace(results[i], cost=share) for i in range(len(crystals))]


@dataclasses.dataclass(frozen=True)
class _Live:
    """A crystal that is being relaxed.

    index: its place in the list; given: as it came; graph: its neighbours, edge vectors those of the given crystal; listed:
    displacements and strain [1, 3, 3] at which they were looked up; state: of its minimisation.
    """

    index: int
    given: Crystal
    graph: Graph
    listed: tuple[np.ndarray, np.ndarray]
    state: State

    @classmethod
    def begin(cls, index: int, crystal: Crystal, reach: float) -> _Live:
        state = blank(len(crystal))
        return cls(index, crystal, to_graph(crystal, cutoff=reach), state.point.x, state)

    def at(self, x: tuple[np.ndarray, np.ndarray]) -> Crystal:
        """The crystal, displaced and strained."""
        deformation = np.eye(3) + x[1][0]
        positions = (self.given.positions + x[0]) @ deformation
        return Crystal(self.given.lattice @ deformation, positions, self.given.numbers, self.given.pbc)


@dataclasses.dataclass
class _Batch:
    """What all rounds share: one shape, unless crystals outgrow it."""

    known: Network
    cell: Cell
    goal: Goal
    skin: float
    shape: Shape = Shape(0, 0, 0)

    @property
    def reach(self) -> float:
        return float(self.known.model.cutoff) + self.skin

    def has_room(self, live: list[_Live], more: _Live) -> bool:
        """Whether one more crystal fits beside those under way, with room to spare."""
        n_node, n_edge = _size([*live, more])
        return not live or (len(live) < self.shape.n_graph - 1 and n_node < ROOM * self.shape.n_node and n_edge <= ROOM * self.shape.n_edge)

    def run(self, live: list[_Live], is_hungry: bool) -> list[Report]:
        """A round on the device; the crystals' states are replaced."""
        self._grow(live)
        n_node, n_graph = _size(live)[0], len(live)
        rest = blank(self.shape.n_node - n_node, self.shape.n_graph - n_graph)
        state = joined([*(one.state for one in live), rest])
        listed = tuple(np.concatenate([*(one.listed[k] for one in live), rest.point.x[k]]) for k in (0, 1))
        packed = pack([one.graph for one in live], self.shape, cutoff=self.reach)
        self.known = dataclasses.replace(self.known, model=with_room(self.known.model, packed))
        settings = {"model": self.known.model, "cell": self.cell}
        state, report = relax_round(self.known.variables, packed, listed, state, self.goal, self.skin, is_hungry, **settings)
        parts = split(state, [len(one.given) for one in live])
        live[:] = [dataclasses.replace(one, state=part) for one, part in zip(live, parts, strict=True)]
        return [Report(*row) for row in zip(*(np.asarray(x)[:n_graph] for x in report), strict=True)]

    def _grow(self, live: list[_Live]) -> None:
        n_node, n_edge = _size(live)
        if n_node < self.shape.n_node and n_edge <= self.shape.n_edge:
            return
        up = lambda need, room: int(-(-max(need + 1, GROWTH * room) // 16) * 16)
        self.shape = Shape(up(n_node, self.shape.n_node), up(n_edge, self.shape.n_edge), self.shape.n_graph)
        _log.warning("crystals have outgrown their batch: the relaxation compiles once more, for %s", self.shape)

    def listed_anew(self, one: _Live, report: Report) -> _Live:
        """The crystal with its neighbours looked up again, if it has moved far enough."""
        if report.drift <= 0.5 * self.skin:
            return one
        x = wanted(one.state)
        graph = to_graph(one.at(x), cutoff=self.reach)
        undone = graph.edges.vectors @ np.linalg.inv(np.eye(3) + x[1][0]) - (x[0][graph.receivers] - x[0][graph.senders])
        edges = graph.edges._replace(vectors=undone.astype(np.float32))
        return dataclasses.replace(one, graph=graph._replace(edges=edges, globals=one.graph.globals), listed=x)  # volume as given

    def result(self, one: _Live, report: Report) -> Result | None:
        """What there is to say of a crystal that is done; None while it goes on."""
        ratio = float(np.linalg.det(np.eye(3) + wanted(one.state)[1][0]))
        is_lost = not VOLUME[0] < ratio < VOLUME[1]  # also where it is no number
        if report.active and not is_lost:
            return None
        energy, n_step = float(one.state.point.energy[0]), float(one.state.n_step[0])
        if not np.isfinite(energy):
            return Result("failed", error="numerical: the energy is not finite")
        relaxed = one.at(one.state.point.x)
        left = {"max_force": float(report.force), "max_stress": float(report.stress), "n_step": n_step}
        reference = self.known.references[relaxed.numbers].mean()
        labels = {"energy_per_atom": energy / len(relaxed) + reference, "volume_per_atom": relaxed.volume / len(relaxed)}
        status, error = self._verdict(left, ratio if is_lost else None)
        return Result(status, relaxed, labels, evidence=evidence(one.given, relaxed) | left, error=error)

    def _verdict(self, left: dict[str, float], lost: float | None) -> tuple[str, str]:
        if lost is not None:
            return "transformed", f"physical: the volume changed {lost:.2f} times; allowed {VOLUME[0]} to {VOLUME[1]}"
        if left["max_force"] <= self.goal.max_force and left["max_stress"] <= self.goal.max_stress:
            return "converged", ""
        found = f"{left['max_force']:.3g} eV/Å and {left['max_stress']:.3g} eV/Å³ are left after {left['n_step']:.0f} steps"
        return "unconverged", f"numerical: {found}; wanted {self.goal.max_force}, {self.goal.max_stress}"


def _size(live: Sequence[_Live]) -> tuple[int, int]:
    """Atoms and edges."""
    return sum(len(one.given) for one in live), sum(len(one.graph.senders) for one in live)


def _objection(crystal: Crystal, cell: Cell, known: Network) -> str:
    """Why a crystal cannot be relaxed, "class: message"; empty if it can."""
    if not len(crystal):
        return "physical: the crystal has no atoms"
    if strangers := known.strangers(crystal):
        return f"physical: {strangers}"
    if objection := too_large(known.model, len(crystal)):
        return f"numerical: the crystal is too large: {objection}"
    if not (np.isfinite(crystal.positions).all() and np.isfinite(crystal.lattice).all()):
        return "physical: positions or lattice are not finite"
    if cell != "fixed" and not (crystal.pbc.all() and crystal.volume > 1e-3):
        return f"physical: a cell can be relaxed where a crystal is periodic along a, b and c; pbc is {crystal.pbc}: use cell='fixed'"
    return ""
