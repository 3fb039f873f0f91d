"""The embedded laboratory: an oracle that measures alloys of seventeen metals in a model system, many a second."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from matjax.config import spec
from matjax.data.elements import number, symbol
from matjax.simulate.chunks import Chunk, chunks
from matjax.simulate.dynamics import Dynamics, heated, npt
from matjax.simulate.eam import cutoffs, eam_energy
from matjax.simulate.elastic import elastic_tensor
from matjax.simulate.evidence import evidence, min_distance, transformed
from matjax.simulate.frames import dataset, shaken
from matjax.simulate.relax import relax
from matjax.types import Crystal, Dataset, Result

ELEMENTS = tuple("Cu Ag Au Ni Pd Pt Al Pb Fe Mo Ta W Mg Co Ti Zr Cr".split())
"""What the laboratory knows."""

NEAREST = 1.0
"""Atoms nearer than this (Å) overlap."""

STRETCH = (0.9, 1.1)
"""Neighbours are looked up again where the ratio of volumes leaves this range."""


@spec
class Laboratory:
    """Measures alloys with the embedded-atom potential of Zhou, Johnson and Wadley (2004).

    Positions and isotropic volume are relaxed, the shape of the lattice is kept. Energies are relative to free atoms.

    Attributes:
      max_force: Largest force on an atom of a relaxed crystal, eV/Å.
      max_stress: Largest pressure, eV/Å³.
      max_step: Evaluations in a relaxation.
      n_copy: Strained and rattled copies of the relaxed crystal among the frames.
      max_strain: Largest strain of a copy, in every component.
      rattle: Largest standard deviation of a copy's displacements, Å.
      max_displacement: An atom farther from its lattice site than this, in nearest-neighbour distances, has left it.
      min_volume: Smallest ratio of relaxed to given volume that counts as the same structure.
      max_volume: Largest such ratio.
      chunk: Crystals in one call of the device.
      batch_size: Of these, crystals side by side: 1 is best on a processor; an accelerator wants the whole chunk.
      dynamics: A short molecular dynamics after the relaxation, see `campaign.Recipe`; none where left out.
    """

    kind: ClassVar[str] = "laboratory"
    max_force: float = 0.02
    max_stress: float = 3e-4
    max_step: int = 200
    n_copy: int = 3
    max_strain: float = 0.03
    rattle: float = 0.1
    max_displacement: float = 0.4
    min_volume: float = 0.7
    max_volume: float = 1.4
    chunk: int = 8
    batch_size: int = 1
    dynamics: Dynamics | None = None

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements it knows."""
        return ELEMENTS

    @property
    def name(self) -> str:
        """What people call it."""
        return "laboratory"

    @property
    def version(self) -> str:
        """Of the potential and the procedure."""
        return "zhou2004-1"

    @property
    def note(self) -> str:
        """What a reader of its numbers must know."""
        return (
            "model system: embedded-atom potential of Zhou, Johnson and Wadley (2004; chromium by Lin et al., 2008), fitted to pure "
            "metals; alloys follow from its mixing rule and are no prediction of real ones"
        )

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal, in order; a crystal that fails is a result with status "failed", never an exception.

        Args:
          crystals: Crystals to relax.
          elastic: Also elastic constants, atoms following the strain.
          frames: Also the relaxed crystal, the crystal as it came, and copies, with energy, forces and stress.
        """
        start = time.perf_counter()
        refused = {i: error for i, crystal in enumerate(crystals) if (error := _objection(crystal))}
        rows = [i for i in range(len(crystals)) if i not in refused]
        results = {i: Result("failed", error=error) for i, error in refused.items()}
        with jax.enable_x64(True):
            results |= dict(zip(rows, self._relaxed([crystals[i] for i in rows]), strict=True))
            if self.dynamics is not None:
                results |= self._heated({i: results[i] for i in rows if results[i].converged}, self.dynamics)
            sound = [i for i in rows if results[i].converged]
            relaxed = [crystal for i in sound if (crystal := results[i].crystal) is not None]
            if elastic:
                for i, constants in zip(sound, self._elastic(relaxed), strict=True):
                    results[i] = _with_elastic(results[i], constants)
            if frames:
                for i, met in zip(sound, self._frames([crystals[i] for i in sound], relaxed), strict=True):
                    results[i] = dataclasses.replace(results[i], frames=met if results[i].converged else None)
        share = (time.perf_counter() - start) / max(len(crystals), 1)
        return [dataclasses.replace(results[i], cost=share) for i in range(len(crystals))]

    def equation_of_state(self, crystal: Crystal, volumes: Sequence[float] | np.ndarray) -> np.ndarray:
        """Energy against volume: positions relaxed in the crystal's lattice, scaled.

        Args:
          crystal: The crystal.
          volumes: Å³/atom.

        Returns:
          eV/atom, one per volume; NaN where the positions did not come to rest.

        Raises:
          ValueError: If the laboratory cannot measure the crystal, or a volume is not positive.
        """
        if (error := _objection(crystal)) or not np.all(np.asarray(volumes) > 0):
            raise ValueError(error or f"volumes are {volumes}; they must be positive")
        scales = np.cbrt(np.asarray(volumes) * len(crystal) / crystal.volume)
        scaled = [Crystal(crystal.lattice * s, crystal.positions * s, crystal.numbers, crystal.pbc) for s in scales]
        energies = np.full(len(scaled), np.nan)
        with jax.enable_x64(True):
            for chunk, rest in self._rests(scaled, "fixed"):
                good = rest["converged"][: len(chunk.index)]
                energies[chunk.index[good]] = rest["energy"][: len(chunk.index)][good] / len(crystal)
        return energies

    def _rests(self, crystals: Sequence[Crystal], cell: Any) -> Iterable[tuple[Chunk, dict[str, np.ndarray]]]:
        """Relaxes chunk by chunk."""
        for chunk in chunks(crystals, cutoffs(), self.chunk):
            settings = {"max_force": self.max_force, "max_stress": self.max_stress, "n_step": self.max_step, "batch_size": self.batch_size}
            rest = relax(eam_energy, chunk.positions, chunk.lattice, chunk.topology, cell=cell, **settings)
            yield chunk, {name: np.asarray(value) for name, value in rest._asdict().items()}

    def _relaxed(self, crystals: Sequence[Crystal]) -> list[Result]:
        """Relaxes positions and volume; once more, with new neighbours, where the volume moved far."""
        now, steps = list(crystals), np.zeros(len(crystals))
        results: list[Result] = [Result("failed")] * len(crystals)
        todo = list(range(len(crystals)))
        for _ in range(4):
            again = []
            for chunk, rest in self._rests([now[i] for i in todo], "volume"):
                for row, i in enumerate(np.array(todo)[chunk.index]):
                    one = {name: value[row] for name, value in rest.items()}
                    before, steps[i] = now[i], steps[i] + one["n_step"]
                    if not np.isfinite(one["energy"]):
                        results[i] = Result("failed", error="numerical: the energy is not finite")
                        continue
                    now[i] = Crystal(one["lattice"], one["positions"][: len(before)], before.numbers, before.pbc)
                    results[i] = self._result(crystals[i], now[i], one, float(steps[i]))
                    if one["converged"] and not STRETCH[0] < now[i].volume / before.volume < STRETCH[1]:
                        again.append(i)
            if not (todo := again):
                break
        return results

    def _result(self, given: Crystal, relaxed: Crystal, rest: dict[str, np.ndarray], n_step: float) -> Result:
        said = evidence(given, relaxed) | {"max_force": float(rest["max_force"]), "max_stress": float(rest["max_stress"])}
        said["n_step"] = float(n_step)
        labels = {"energy_per_atom": float(rest["energy"]) / len(given), "volume_per_atom": relaxed.volume / len(given)}
        status, error = self._verdict(given, said, bool(rest["converged"]))
        return Result(status, relaxed, labels, evidence=said, error=error)

    def _verdict(self, given: Crystal, evidence: dict[str, float], is_converged: bool) -> tuple[str, str]:
        if error := transformed(given, evidence, self):
            return "transformed", error
        if not is_converged:
            left = f"{evidence['max_force']:.3g} eV/Å and {evidence['max_stress']:.3g} eV/Å³"
            return (
                "unconverged",
                f"numerical: {left} are left after {evidence['n_step']:.0f} steps; wanted {self.max_force}, {self.max_stress}",
            )
        return "converged", ""

    def _heated(self, results: dict[int, Result], settings: Dynamics) -> dict[int, Result]:
        relaxed = [crystal for r in results.values() if (crystal := r.crystal) is not None]
        found = npt(eam_energy, relaxed, cutoffs(), settings, chunk=self.chunk, batch_size=self.batch_size)
        return {i: heated(r, averages, settings) for (i, r), averages in zip(results.items(), found, strict=True)}

    def _elastic(self, crystals: Sequence[Crystal]) -> list[np.ndarray]:
        found: list[np.ndarray] = [np.empty(0)] * len(crystals)
        for chunk in chunks(crystals, cutoffs(), self.chunk):
            constants = np.asarray(_elastic_tensors(chunk.positions, chunk.lattice, chunk.topology, batch_size=self.batch_size))
            for row, i in enumerate(chunk.index):
                found[i] = constants[row]
        return found

    def _frames(self, given: Sequence[Crystal], relaxed: Sequence[Crystal]) -> list[Dataset]:
        sets = [shaken(a, b, self.n_copy, self.max_strain, self.rattle) for a, b in zip(given, relaxed, strict=True)]
        every = [frame for frames in sets for frame in frames]
        found: list[Any] = [None] * len(every)
        for chunk in chunks(every, cutoffs(), self.chunk):
            energy, forces, stress = map(np.asarray, _slopes(chunk.positions, chunk.lattice, chunk.topology, batch_size=self.batch_size))
            for row, i in enumerate(chunk.index):
                found[i] = (float(energy[row]), forces[row, : len(every[i])], stress[row])
        size = self.n_copy + 2
        return [dataset(c.key, frames, found[k * size :][:size], self.name) for k, (c, frames) in enumerate(zip(given, sets, strict=True))]


@partial(jax.jit, static_argnames="batch_size")
def _elastic_tensors(positions, lattice, topology, *, batch_size: int) -> jax.Array:
    one = lambda crystal: elastic_tensor(eam_energy, *crystal)
    return jax.lax.map(one, (positions, lattice, jax.tree.map(jnp.asarray, topology)), batch_size=min(batch_size, len(positions)))


@partial(jax.jit, static_argnames="batch_size")
def _slopes(positions, lattice, topology, *, batch_size: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Energy [n] eV, forces [n, n_atom, 3] eV/Å, stress [n, 3, 3] eV/Å³."""

    def one(crystal):
        positions, lattice, topology = crystal
        strained = lambda x, strain: eam_energy(x + x @ strain, lattice + lattice @ strain, topology)
        energy, (slope, virial) = jax.value_and_grad(strained, (0, 1))(positions, jnp.zeros((3, 3), positions.dtype))
        return energy, -slope, 0.5 * (virial + virial.T) / jnp.abs(jnp.linalg.det(lattice))

    return jax.lax.map(one, (positions, lattice, jax.tree.map(jnp.asarray, topology)), batch_size=min(batch_size, len(positions)))


def _objection(crystal: Crystal) -> str:
    """Why a crystal cannot be measured, "class: message"; empty if it can."""
    known = [number(s) for s in ELEMENTS]
    if missing := sorted(set(crystal.numbers.tolist()) - set(known)):
        names = ", ".join(symbol(z) for z in missing)
        return f"programming: the laboratory has no {names}; it knows {', '.join(ELEMENTS)}"
    if not len(crystal):
        return "physical: the crystal has no atoms"
    if not (np.isfinite(crystal.positions).all() and np.isfinite(crystal.lattice).all()):
        return "physical: positions or lattice are not finite"
    if not crystal.pbc.all() or crystal.volume < 1e-3:
        return f"physical: the laboratory relaxes volumes, so a crystal must be periodic along a, b and c; pbc is {crystal.pbc}"
    if (distance := min_distance(crystal)) < NEAREST:
        return f"physical: atoms overlap: the nearest two are {distance:.2f} Å apart; at least {NEAREST} Å"
    return ""


def _with_elastic(result: Result, constants: np.ndarray) -> Result:
    if np.isfinite(constants).all():
        return dataclasses.replace(result, elastic=constants)
    return Result("failed", evidence=result.evidence, error="numerical: elastic constants are not finite")
