"""Ordered compounds as the problem of a campaign: decorations of structures with several orbits, weighed at temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.campaign.crystals.cells import SOFT, AlloyCells
from matjax.campaign.crystals.compound_learning import learn
from matjax.campaign.crystals.compound_surrogate import CompoundSurrogate, Solid, mixed_moduli
from matjax.campaign.crystals.landscape_views import stability_trends
from matjax.campaign.crystals.problem import CrystalProblem
from matjax.campaign.problem import Measured
from matjax.config import spec
from matjax.simulate.cells import cells, element_volumes
from matjax.simulate.orbits import merged
from matjax.simulate.prototypes import LATTICES
from matjax.thermo import Landscape, Points, Stability, compound_stabilities, sublattice_entropy
from matjax.types import Candidate, Crystal
from matjax.value import Compounds

N_SITE = 20
"""Steps of the compositions of the solutions in the known set."""


@spec
class CompoundProblem(CrystalProblem):
    """Which compounds of given structures are worth making; the known set is that of alloys, and its solutions compete.

    A compound is weighed against the known set alone, not against what the campaign found before: its truth does not change. Random
    occupation of an orbit adds its ideal entropy.

    Attributes:
      space: The compounds that may be proposed.
    """

    space: Compounds

    def __post_init__(self) -> None:
        """Refuses a space that holds known crystals under another name: they would compete with themselves.

        Raises:
          ValueError: Naming the structure, and what to do.
        """
        super().__post_init__()
        open_, all_ = merged(self.space.prototypes), merged((*dict.fromkeys((*self.known_set.compounds, *self.space.prototypes)),))
        for name in self.space.prototypes:
            if any(max(p) + 1 >= self.space.min_elements for p in all_[name] - open_[name] if max(p) > 0):
                known = " ".join(self.known_set.compounds)
                raise ValueError(
                    f"{name} with equal orbits is a structure of the known set ({known}); name these among space.prototypes, "
                    "or raise space.min_elements"
                )

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols, in the order of every composition."""
        return self.space.available

    def known(self) -> list[Candidate]:
        """What is measured before the first round."""
        return self.known_set.candidates(self.elements, N_SITE)

    def cells(self, candidate: Candidate) -> list[Crystal]:
        """The crystals that stand for a candidate: one, or several decorations where an orbit of a compound is a mixture."""
        is_mixed = candidate.prototype not in LATTICES and any(len(orbit) > 1 for orbit in candidate.occupancy)
        return cells(candidate, self.n_decoration if is_mixed else 1, element_volumes(candidate.elements))

    def weighed(self, ground: Landscape, candidates: Sequence[Candidate], cells: AlloyCells) -> Stability:
        """Stability of measured compounds on a landscape, fields [1, n]."""
        rows = [[i for i, key in enumerate(cells.keys) if key == c.key] for c in candidates]
        mean = lambda values: np.array([[values[r].mean() for r in rows]])
        measured = Solid(*(mean(y) for y in (cells.energy, cells.volume, cells.bulk, cells.shear, cells.born)))
        return self.stability(ground, candidates, measured, self.temperature)

    def stability(self, ground: Landscape, candidates: Sequence[Candidate], solid: Solid, temperature: float) -> Stability:
        """Stability of compounds with these properties [n_member, n] on the landscape of the known set.

        Of a compound that is soft or of unknown stiffness, vibrations are those of the elements' mixed moduli, as in the known set.
        """
        x = self.compositions(candidates)
        mixed_bulk, mixed_shear = mixed_moduli(ground, x)
        is_stiff = np.isfinite(solid.bulk) & np.isfinite(solid.shear) & (solid.born > SOFT * solid.bulk)
        entropy = np.array([self._entropy(c) for c in candidates]) if self.terms.configurational else 0.0
        floors = self.surfaces.bulk_floor, self.surfaces.shear_floor
        points = Points(
            np.zeros(len(x), int),
            x,
            solid.enthalpy - temperature * entropy,
            solid.volume,
            np.maximum(np.where(is_stiff, solid.bulk, mixed_bulk), floors[0]),
            np.maximum(np.where(is_stiff, solid.shear, mixed_shear), floors[1]),
        )
        return compound_stabilities(ground, points, temperature, terms=self.terms)

    def _entropy(self, candidate: Candidate) -> float:
        """Of random occupation of the orbits, eV/(K atom)."""
        totals = [sum(n for _, n in orbit) for orbit in candidate.occupancy]
        shares = np.zeros((len(totals), len(candidate.elements)))
        for k, orbit in enumerate(candidate.occupancy):
            for symbol, n in orbit:
                shares[k, candidate.elements.index(symbol)] = n / totals[k]
        return float(sublattice_entropy(shares, np.array(totals)))

    def learn(self, measured: Mapping[str, Measured], *, round: int, run_dir: Path, key: jax.Array) -> CompoundSurrogate:
        """The surrogate of a round; see `compound_learning`."""
        return learn(self, measured, round, run_dir, key)

    def views(self, surrogate: Any, known: Mapping[str, Measured], best: Sequence[Measured]) -> dict[str, Any]:
        """Stability against temperature of the best; compounds have no line of compositions."""
        return {"mixing": [], "trends": stability_trends(self, surrogate, known, best)}
