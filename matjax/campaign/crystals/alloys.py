"""High-entropy alloys as the problem of a campaign: the cells, stability with a candidate's own cells, the learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.campaign.crystals.alloy_learning import learn
from matjax.campaign.crystals.alloy_surrogate import AlloySurrogate
from matjax.campaign.crystals.cells import AlloyCells
from matjax.campaign.crystals.landscape_views import mixing_sections, stability_trends
from matjax.campaign.crystals.problem import CrystalProblem
from matjax.campaign.problem import Measured
from matjax.config import spec
from matjax.simulate.cells import cells, element_volumes
from matjax.simulate.prototypes import LATTICES
from matjax.thermo import Landscape, Own, Stability, stabilities
from matjax.types import Candidate, Crystal
from matjax.value import Alloys


@spec
class AlloyProblem(CrystalProblem):
    """Which alloys of few enough known ones are worth making.

    Attributes:
      space: The alloys that may be proposed.
      support: Equimolar four-element alloys per lattice at which each member draws its landscape.
    """

    space: Alloys
    support: int = 24

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols, in the order of every composition."""
        return self.space.available

    def known(self) -> list[Candidate]:
        """What is measured before the first round."""
        return self.known_set.candidates(self.elements, self.space.n_site)

    def cells(self, candidate: Candidate) -> list[Crystal]:
        """The crystals that stand for a candidate."""
        n = self.n_decoration if len(candidate.elements) > 3 else 1
        return cells(candidate, n, element_volumes(candidate.elements))

    def weighed(self, ground: Landscape, candidates: Sequence[Candidate], cells: AlloyCells) -> Stability:
        """Stability of measured alloys on a landscape, fields [1, n]."""
        own = self.own(candidates, cells.keys, cells.x, cells.energy[None])
        return stabilities(ground, *self.phases(candidates), self.temperature, terms=self.terms, own=own)

    def phases(self, candidates: Sequence[Candidate]) -> tuple[np.ndarray, np.ndarray]:
        """Lattice index [n] and composition [n, n_element] of solutions."""
        return np.array([LATTICES.index(c.prototype) for c in candidates]), self.compositions(candidates)

    def own(self, candidates: Sequence[Candidate], keys: Sequence[str], x: np.ndarray, energy: np.ndarray) -> Own:
        """A candidate's own cells [n_member, n, k], to pin its lattice's surface."""
        rows = [[i for i, key in enumerate(keys) if key == c.key] for c in candidates]
        k = max(len(r) for r in rows)
        padded = np.array([r + [r[0]] * (k - len(r)) for r in rows])
        extra = np.array([[j >= len(r) for j in range(k)] for r in rows])
        return Own(energy[:, padded], x[padded], np.where(extra, np.inf, self.surfaces.enthalpy.noise))

    def learn(self, measured: Mapping[str, Measured], *, round: int, run_dir: Path, key: jax.Array) -> AlloySurrogate:
        """The surrogate of a round; see `alloy_learning`."""
        return learn(self, measured, round, run_dir, key)

    def views(self, surrogate: Any, known: Mapping[str, Measured], best: Sequence[Measured]) -> dict[str, Any]:
        """Sections through the landscape at the best two, stability against temperature of all."""
        return {
            "mixing": mixing_sections(self, surrogate, known, best[:2]),
            "trends": stability_trends(self, surrogate, known, best),
        }
