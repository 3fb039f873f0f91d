"""Crystals as the problem of a campaign: what alloys and compounds share of the known set, the landscape and the properties."""

from __future__ import annotations

import dataclasses
import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.campaign.crystals.cells import AlloyCells, alloy_cells
from matjax.campaign.crystals.surrogate import CrystalSurrogate
from matjax.campaign.problem import Measured
from matjax.config import kind_of, spec
from matjax.simulate.cells import compound_candidates, name_of, solution
from matjax.simulate.prototypes import COMPOUNDS, LATTICES
from matjax.thermo import Landscape, NoReference, Stability, Surfaces, Terms, describe, gibbs_elements, landscape
from matjax.training.learner import GraphLearner
from matjax.types import Candidate, Crystal
from matjax.units import PRESSURE
from matjax.value import Pessimism, Utility, density, price_per_kg
from matjax.value.price import masses
from matjax.value.space import Space

GPA = PRESSURE["GPa"]
"""eV/Å³ per GPa."""

MODULI = {"bulk_modulus", "shear_modulus", "pugh_ratio", "born"}
"""Properties that need elastic constants."""

WORST_PUGH = 10.0
"""Pugh ratios are cut here: the shear modulus of an unstable lattice may be next to nothing."""


@spec
class KnownSet:
    """What is measured before the first round: few-element alloys and ordered compounds, the training domains.

    Attributes:
      binaries: Shares of the first element of every pair, on every lattice: all of them compete, also those that are not proposed.
      ternaries: Share of the near-equimolar alloys of three elements that are measured, on every lattice. Without them a lattice
         that nobody looked at may seem to beat every alloy of more elements.
      compounds: Ordered structures of every pair; of Laves phases, sigma and mu the decorations by coordination number.
      frames: Which configurations of each measurement train the network.
    """

    binaries: tuple[float, ...] = (0.25, 0.5, 0.75)
    ternaries: float = 1.0
    compounds: tuple[str, ...] = COMPOUNDS
    frames: tuple[str, ...] = ("relaxed", "copy1")

    def candidates(self, elements: Sequence[str], n_site: int) -> list[Candidate]:
        """Elements on every lattice, binaries, ternaries, compounds; solutions in steps of 1/n_site."""
        n, found = n_site, [solution(lattice, {s: n_site}) for s in elements for lattice in LATTICES]
        for a, b in itertools.combinations(elements, 2):
            found += [solution(lattice, {a: round(f * n), b: n - round(f * n)}) for f in self.binaries for lattice in LATTICES]
            found += compound_candidates((a, b), self.compounds, by_coordination=True)
        triples = list(itertools.combinations(elements, 3))
        for i in np.linspace(0, len(triples) - 1, round(min(self.ternaries, 1.0) * len(triples))).astype(int):
            shares = dict(zip(triples[i], (n - 2 * (n // 3), n // 3, n // 3), strict=True))
            found += [solution(lattice, shares) for lattice in LATTICES]
        return list({c.key: c for c in found}.values())


@spec
class CrystalProblem(ABC):
    """Which crystals of few enough known ones are worth making; `AlloyProblem` and `CompoundProblem` are the two there are.

    Attributes:
      space: What may be proposed.
      utility: What makes one worth making.
      temperature: K.
      terms: Terms of every Gibbs energy.
      surfaces: Priors of the landscape.
      pessimism: How doubt lowers the reward.
      learner: The ensemble of networks.
      n_epoch_more: Epochs of every round after the first, which go on from the last round's ensemble.
      known_set: What is measured first.
      n_decoration: Cells of a candidate with random occupation that the oracle measures.
      n_imagined: Of these, cells that the networks look at inside the reward.
      has_moduli: Whether the oracle measures elastic constants. Without them there is no Debye temperature, so `terms` must leave
        vibrations out, and no goal may ask for what follows from moduli.
    """

    space: Space
    utility: Utility
    temperature: float = dataclasses.field(default=1200.0, metadata={"static": True})
    terms: Terms = Terms()
    surfaces: Surfaces = Surfaces()
    pessimism: Pessimism = Pessimism()
    learner: GraphLearner = GraphLearner(n_epoch=14, batch_size=12)
    n_epoch_more: int = 4
    known_set: KnownSet = KnownSet()
    n_decoration: int = 2
    n_imagined: int = 1
    has_moduli: bool = True

    def __post_init__(self) -> None:
        """Refuses what elastic constants would be needed for.

        Raises:
          ValueError: If vibrations or a goal ask for moduli that nobody measures.
        """
        if self.has_moduli:
            return
        wanting = [kind_of(type(goal)) for goal in self.utility.goals if MODULI & set(goal.needs)]
        if wanting:
            raise ValueError(f"the oracle gives no elastic constants, which the goal {', '.join(wanting)} needs; leave the goal out")
        if self.terms.vibrational:
            raise ValueError("the oracle gives no elastic constants, so vibrations are unknown; set terms.vibrational = false")

    @property
    @abstractmethod
    def elements(self) -> tuple[str, ...]:
        """Symbols, in the order of every composition."""

    @abstractmethod
    def known(self) -> list[Candidate]:
        """What is measured before the first round."""

    def n_new(self) -> int:
        """How many materials of the space are not in the known set."""
        inside = [c for c in self.known() if not self.space.why_outside(c)]
        return self.space.n_leaf - len({row.tobytes() for row in np.column_stack(self.space.encode(inside))})

    @abstractmethod
    def cells(self, candidate: Candidate) -> list[Crystal]:
        """The crystals that stand for a candidate."""

    @abstractmethod
    def weighed(self, ground: Landscape, candidates: Sequence[Candidate], cells: AlloyCells) -> Stability:
        """Stability of measured candidates on a landscape, fields [1, n]."""

    @abstractmethod
    def learn(self, measured: Mapping[str, Measured], *, round: int, run_dir: Path, key: jax.Array) -> CrystalSurrogate:
        """The surrogate of a round; see `Problem`."""

    @abstractmethod
    def views(self, surrogate: Any, known: Mapping[str, Measured], best: Sequence[Measured]) -> dict[str, Any]:
        """What a report shows of the surrogate's landscape near the best candidates: "mixing" and "trends", each a list."""

    def landscape(self, points: AlloyCells, enthalpy: np.ndarray) -> Landscape:
        """The free-energy landscape of these cells for every member [n_member, n]; an oracle's own is that of one member.

        Raises:
          ValueError: If an element has no reference among the cells, naming it.
        """
        points, solid = points.with_stable_moduli(), points.is_solution
        solutions, compounds = (points.select(part).points(enthalpy[:, part]) for part in (solid, ~solid))
        try:
            return landscape(self.elements, masses(self.elements), solutions, compounds, self.surfaces)
        except NoReference as error:
            advice = "`matjax campaign why` says what became of a measurement, `matjax campaign retry` makes it anew"
            raise ValueError(f"{error}. Every crystal is weighed against the elements, so they must converge: {advice}") from error

    def table(self, measured: Mapping[str, Measured]) -> AlloyCells:
        """Measured candidates as arrays."""
        cells = alloy_cells(self.elements, measured, {key: self.cells(m.candidate) for key, m in measured.items()})
        return cells if self.has_moduli else cells.with_nominal_moduli()

    def ground(self, known: Mapping[str, Measured]) -> Landscape:
        """The oracle's own landscape over the known set, of one member."""
        table = self.table(known)
        return self.landscape(table, table.energy[None])

    def truth(self, measured: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
        """What the oracle's own numbers say of every candidate that is not in the known set.

        Its cells against the landscape of the known set, in thermo's definition of stability: the truth of a candidate does not
        change as the campaign goes on.
        """
        known = {c.key for c in self.known()}
        base = {key: m for key, m in measured.items() if key in known}
        new = {key: m for key, m in measured.items() if key not in known}
        if not new:
            return {}
        ground, cells_of = self.ground(base), self.table(new)
        candidates = [m.candidate for m in new.values()]
        found = self.weighed(ground, candidates, cells_of)
        samples = self.properties(candidates, np.asarray(found.value), self.gibbs_mixing(ground, candidates, np.asarray(found.gibbs)))
        rows = [[i for i, key in enumerate(cells_of.keys) if key == c.key] for c in candidates]
        mean = lambda values: np.array([[values[r].mean() for r in rows]])
        samples |= self.moduli(mean(cells_of.bulk), mean(cells_of.shear), mean(cells_of.born))
        samples["density"] = np.asarray(density(self.elements, self.compositions(candidates), mean(cells_of.volume)))
        log_utility = np.asarray(self.utility.log_utility(samples))[0]
        told: dict[str, dict[str, Any]] = {}
        for i, candidate in enumerate(candidates):
            row: dict[str, Any] = {name: float(values[0, i]) for name, values in samples.items()}
            row |= {"log_utility": float(log_utility[i]), "utility": float(np.exp(log_utility[i]))}
            row["competitors"] = describe(jax.tree.map(lambda v, i=i: v[0, i], found), self.elements, self.compounds(base))
            row["gap"] = float(found.gap[0, i])
            told[candidate.key] = row
        return told

    def compositions(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Atomic fractions [n, n_element] of candidates."""
        return np.array([[c.composition.get(s, 0.0) for s in self.elements] for c in candidates])

    def compounds(self, measured: Mapping[str, Measured]) -> list[str]:
        """Names of the compounds in the order of a landscape."""
        return [name_of(m.candidate) for m in measured.values() if m.candidate.prototype not in LATTICES]

    def gibbs_mixing(self, ground: Landscape, candidates: Sequence[Candidate], gibbs: np.ndarray) -> np.ndarray:
        """Gibbs energy relative to the elements in their stable state at the temperature [n_member, n], eV/atom."""
        pure = np.asarray(gibbs_elements(ground, self.temperature, self.terms))
        return gibbs - pure @ self.compositions(candidates).T

    def properties(self, candidates: Sequence[Candidate], stability: np.ndarray, gibbs_mixing: np.ndarray) -> dict[str, np.ndarray]:
        """What follows from composition and free energy alone [n_member, n]."""
        full = lambda row: np.broadcast_to(np.asarray(row, float), stability.shape)
        return {
            "stability": stability,
            "gibbs_mixing": gibbs_mixing,
            "price": full(price_per_kg(self.elements, self.compositions(candidates))),
            "n_element": full([len(c.elements) for c in candidates]),
        }

    def moduli(self, bulk: np.ndarray, shear: np.ndarray, born: np.ndarray) -> dict[str, np.ndarray]:
        """Properties of moduli (eV/Å³) in the units of the utility; none where nobody measures moduli."""
        if not self.has_moduli:
            return {}
        return {
            "bulk_modulus": bulk / GPA,
            "shear_modulus": shear / GPA,
            "pugh_ratio": bulk / np.maximum(shear, bulk / WORST_PUGH),
            "born": born / GPA,
        }
