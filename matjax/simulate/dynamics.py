"""A short molecular dynamics at temperature and pressure: enthalpy and volume of a crystal there, and whether it stays one.

On the device, many crystals side by side, for any energy that JAX can differentiate: Langevin dynamics of the atoms, and a stochastic
barostat that scales cell and positions alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase import units
from ase.data import atomic_masses

from matjax.config import spec
from matjax.simulate.chunks import chunks
from matjax.simulate.evidence import min_distance
from matjax.simulate.relax import Energy
from matjax.simulate.topology import Topology
from matjax.types import Crystal, Result
from matjax.units import BOLTZMANN, PRESSURE

LARGEST_STRETCH = 2.0
"""Ratio of volumes, either way, at which a run is given up: the crystal has come apart."""

CHECK = 10
"""Steps between two looks at the crystal."""

COMPLIANCE = 4.0
"""Å³/eV: the compressibility that sets the pace of the barostat, not where it ends; that of a soft metal (bulk modulus 40 GPa).

A stiffer crystal reaches its volume sooner, a softer one later: it has to within the steps that are thrown away.
"""

N_BLOCK = 5
"""Blocks of a run: errors are those of their means, and neighbours are looked up anew before each."""

MARGIN = 1.08
"""How much farther than the cutoff neighbours are looked up: they stay for a block."""


@spec
class Dynamics:
    """Settings of a run at constant pressure and temperature, the shape of the cell kept.

    The cell is that of the measurement: its size limits the wavelengths, so means are those of some dozen atoms. Classical nuclei: below
    the Debye temperature heat capacities are too large.

    Attributes:
      temperature: K.
      pressure: GPa.
      time_step: fs.
      n_equilibrate: Steps that are thrown away; on the device at least CHECK.
      n_step: Steps that are averaged.
      relaxation: Time constant of the thermostat, fs; ten times it is that of the barostat.
      max_displacement: An atom whose mean position is farther than this from its lattice site, in nearest-neighbour distances, has left
        it. Thermal motion averages out.
      seed: Of the velocities.
    """

    temperature: float
    pressure: float = 0.0
    time_step: float = 2.0
    n_equilibrate: int = 500
    n_step: int = 1500
    relaxation: float = 100.0
    max_displacement: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what is no run."""
        for name in ("temperature", "time_step", "relaxation", "max_displacement"):
            if isinstance(value := getattr(self, name), float | int) and not value > 0:
                raise ValueError(f"{name} of the dynamics is {value}; it must be positive")
        if isinstance(self.n_step, int) and self.n_step < 10 * CHECK:
            raise ValueError(f"n_step of the dynamics is {self.n_step}; averages need at least {10 * CHECK}")


class Averages(NamedTuple):
    """Means of a run, with standard errors.

    enthalpy: with the kinetic energy of all 3 N degrees of freedom, eV/atom; volume: Å³/atom; temperature: K; displacement: largest
    distance of an atom's mean position from its site, in nearest-neighbour distances; infinite where the cell came apart. NaN where the
    energy was not a number.
    """

    enthalpy: float
    enthalpy_error: float
    volume: float
    volume_error: float
    temperature: float
    displacement: float


LOST = Averages(np.nan, np.nan, np.nan, np.nan, np.nan, np.inf)
"""Of a crystal that came apart."""


def npt(
    energy: Energy, crystals: Sequence[Crystal], cutoff: float | np.ndarray, settings: Dynamics, *, chunk: int = 8, batch_size: int = 1
) -> list[Averages]:
    """Runs relaxed crystals, whose atoms stand on their lattice sites or relaxed about them.

    Equal crystals give equal averages at one `batch_size`, in double precision whatever else is run; else within their errors. The
    kinetic energy in the enthalpy is that of equipartition; the temperature is measured.

    Args:
      energy: As `relax` takes it; a function, or a `jax.tree_util.Partial` whose arguments are traced.
      crystals: Periodic along a, b, c.
      cutoff: Of the energy, Å, or a table by pairs; see `topology`.
      settings: Settings.
      chunk: Crystals in one compiled call.
      batch_size: Crystals side by side.

    Source:
      Leimkuhler & Matthews (2013), Rational construction of stochastic numerical methods for molecular sampling (BAOAB); Bernetti & Bussi
      (2020), Pressure control using stochastic cell rescaling, here in the logarithm of the volume with its noise by Itô.
    """
    energy = energy if isinstance(energy, jax.tree_util.Partial) else jax.tree_util.Partial(energy)
    runs = [_Run.begin(crystal) for crystal in crystals]
    first = max(-(-settings.n_equilibrate // CHECK), 1)
    looks = [first] + [len(part) for part in np.array_split(np.arange(settings.n_step // CHECK), N_BLOCK)]
    for i, n_look in enumerate(looks):
        live = [run for run in runs if run.is_live]
        for part in chunks([run.now for run in live], MARGIN * np.asarray(cutoff), chunk):
            mine = [live[k] for k in part.index]
            start = _packed(part.positions, mine)
            key = jax.random.fold_in(jax.random.key(settings.seed), i)
            end, seen = _segment(energy, start, part.topology, settings, key, n_look, i == 0, batch_size)
            for row, run in enumerate(mine):
                at = lambda value, row=row: np.asarray(value[row], np.float64)
                told = _Seen(at(seen.energy), at(seen.volume), at(seen.kinetic), at(seen.moved))
                run.note(at(end.positions), at(end.velocities), at(end.lattice), told, counts=i > 0)
    return [run.averages(settings) for run in runs]


class _State(NamedTuple):
    """positions, velocities [n, n_atom, 3] Å, Å/fs; lattice [n, 3, 3] Å; sites: fractional, where atoms belong [n, n_atom, 3]."""

    positions: Any
    velocities: Any
    lattice: Any
    sites: Any


class _Seen(NamedTuple):
    """energy: eV; volume: Å³; kinetic: eV, each at every look [n_look]; moved: mean fractional displacement [n_atom, 3]."""

    energy: Any
    volume: Any
    kinetic: Any
    moved: Any


@dataclasses.dataclass
class _Run:
    """A crystal that is run: as it came, as it is now, velocities (Å/fs), and what was seen of it."""

    given: Crystal
    now: Crystal
    velocities: np.ndarray
    looks: list[_Seen]
    is_live: bool = True
    is_number: bool = True

    @classmethod
    def begin(cls, crystal: Crystal) -> _Run:
        return cls(crystal, crystal, np.zeros((len(crystal), 3)), [])

    def note(self, positions: np.ndarray, velocities: np.ndarray, lattice: np.ndarray, seen: _Seen, *, counts: bool) -> None:
        """Takes the end of a block."""
        n, stretch = len(self.given), seen.volume / self.given.volume
        self.is_number = bool(np.isfinite(seen.energy).all())
        self.is_live = self.is_number and bool(((stretch > 1 / LARGEST_STRETCH) & (stretch < LARGEST_STRETCH)).all())
        if self.is_live:
            self.now, self.velocities = Crystal(lattice, positions[:n], self.given.numbers, self.given.pbc), velocities[:n]
            self.looks += [seen._replace(moved=seen.moved[:n])] if counts else []

    def averages(self, settings: Dynamics) -> Averages:
        if not self.is_live:
            return LOST if self.is_number else Averages(*[np.nan] * 6)
        n, pressure = len(self.given), settings.pressure * PRESSURE["GPa"]
        energy, volume, kinetic = (np.concatenate([getattr(look, name) for look in self.looks]) for name in ("energy", "volume", "kinetic"))
        heat, heat_error = blocks((energy + pressure * volume) / n + 1.5 * BOLTZMANN * settings.temperature)
        size, size_error = blocks(volume / n)
        moved = np.mean([look.moved for look in self.looks], 0)
        moved = (moved - np.median(moved, 0)) @ self.given.lattice
        far = float(np.linalg.norm(moved, axis=1).max() / min_distance(self.given))
        return Averages(heat, heat_error, size, size_error, float(2 * kinetic.mean() / (3 * n * BOLTZMANN)), far)


def judged(found: Averages, settings: Dynamics) -> tuple[dict[str, float], dict[str, float], str]:
    """Labels and evidence of a run, and why the crystal is no longer one ("class: message"); no labels then."""
    at = f"at {settings.temperature:g} K"
    if np.isnan(found.displacement):
        return {}, {}, f"numerical: the energy is not finite {at}"
    if np.isinf(found.displacement):
        return {}, {}, f"physical: the crystal came apart {at}"
    told = {"hot_enthalpy_error": found.enthalpy_error, "hot_volume_error": found.volume_error, "hot_temperature": found.temperature}
    told |= {"hot_displacement": found.displacement}
    if found.displacement > settings.max_displacement:
        limit = f"allowed {settings.max_displacement:g}"
        return {}, told, f"physical: {at} an atom's mean position is {found.displacement:.2f} nearest distances from its site; {limit}"
    return {"enthalpy_hot": found.enthalpy, "volume_hot": found.volume}, told, ""


def heated(result: Result, found: Averages, settings: Dynamics) -> Result:
    """A converged result with what a run adds to it: "transformed" where the crystal did not last, "failed" where nothing is known."""
    labels, told, error = judged(found, settings)
    status = "converged" if not error else "failed" if error.startswith("numerical") else "transformed"
    return dataclasses.replace(result, status=status, labels={**result.labels, **labels}, evidence={**result.evidence, **told}, error=error)


def blocks(values: np.ndarray, n_block: int = N_BLOCK) -> tuple[float, float]:
    """Mean of a correlated series [n], and its standard error from the means of consecutive blocks."""
    means = np.array([part.mean() for part in np.array_split(values, n_block)])
    return float(values.mean()), float(means.std(ddof=1) / np.sqrt(n_block))


def _packed(positions: np.ndarray, runs: Sequence[_Run]) -> _State:
    """What a chunk starts from; padding stands at zero."""
    n, n_atom = positions.shape[:2]
    velocities, sites, lattice = np.zeros((n, n_atom, 3)), np.zeros((n, n_atom, 3)), np.tile(np.eye(3), (n, 1, 1))
    for row, run in enumerate(runs):
        velocities[row, : len(run.given)], lattice[row] = run.velocities, run.now.lattice
        sites[row, : len(run.given)] = run.given.positions @ np.linalg.inv(run.given.lattice)
    return _State(positions, velocities, lattice, sites)


@partial(jax.jit, static_argnames=("n_look", "is_cold", "batch_size"))
def _segment(
    energy: Any, start: _State, topology: Topology, settings: Dynamics, key: jax.Array, n_look: int, is_cold: bool, batch_size: int
) -> tuple[_State, _Seen]:
    """A block of n_look * CHECK steps of every crystal; from rest (`is_cold`) velocities are drawn first."""
    start = jax.tree.map(lambda y: jnp.asarray(y, jnp.result_type(float)), start)
    one = lambda given: _trajectory(energy, given[0], given[1], settings, key, n_look, is_cold)
    return jax.lax.map(one, (start, jax.tree.map(jnp.asarray, topology)), batch_size=min(batch_size, len(start.positions)))


def _trajectory(
    energy: Any, start: _State, topology: Topology, settings: Dynamics, key: jax.Array, n_look: int, is_cold: bool
) -> tuple[_State, _Seen]:
    """One crystal: CHECK steps of the atoms, a look, a step of the barostat, and again."""
    dtype, is_atom = start.positions.dtype, (topology.numbers > 0)[:, None]
    mass = jnp.where(is_atom, jnp.asarray(_MASSES, dtype)[topology.numbers][:, None], 1.0)
    heat, pressure, step = BOLTZMANN * settings.temperature, settings.pressure * PRESSURE["GPa"], settings.time_step
    keep = jnp.exp(-step / settings.relaxation)
    noise = jnp.where(is_atom, jnp.sqrt(heat / mass), 0.0)
    pace = COMPLIANCE / (10 * settings.relaxation) * CHECK * step

    def slopes(x: Any, lattice: Any) -> tuple[Any, Any, Any]:
        """Energy, accelerations, and the derivative of the energy in the logarithm of all lengths."""
        grown = lambda x, log_scale: energy(x * jnp.exp(log_scale), lattice * jnp.exp(log_scale), topology)
        value, (slope, stretch) = jax.value_and_grad(grown, (0, 1))(x, jnp.zeros((), dtype))
        return value, jnp.where(is_atom, -slope / mass, 0.0), stretch

    def move(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
        x, v, lattice, (_, acceleration, _) = carry
        v = v + 0.5 * step * acceleration
        x = x + 0.5 * step * v
        v = keep * v + jnp.sqrt(1 - keep**2) * noise * jax.random.normal(key, v.shape, dtype)
        x = x + 0.5 * step * v
        told = slopes(x, lattice)
        return (x, v + 0.5 * step * told[1], lattice, told), None

    def look(carry: tuple, key: jax.Array) -> tuple[tuple, tuple]:
        moves, kicks = jax.random.split(key)
        (x, v, lattice, told), _ = jax.lax.scan(move, carry, jax.random.split(moves, CHECK))
        volume, kinetic = jnp.abs(jnp.linalg.det(lattice)), 0.5 * jnp.sum(mass * v**2)
        seen = told[0], volume, kinetic, jnp.where(is_atom, x @ jnp.linalg.inv(lattice) - start.sites, 0.0)
        excess = (2 * kinetic - told[2]) / (3 * volume) - pressure
        kick = jnp.sqrt(2 * heat * pace / volume) * jax.random.normal(kicks, (), dtype)
        scale = jnp.exp((pace * excess + kick) / 3)
        x, v, lattice = x * scale, v / scale, lattice * scale
        return (x, v, lattice, slopes(x, lattice)), seen

    at_start, later = jax.random.split(key)
    v = noise * jax.random.normal(at_start, start.velocities.shape, dtype) if is_cold else start.velocities
    carry = (start.positions, v, start.lattice, slopes(start.positions, start.lattice))
    (x, v, lattice, _), (energies, volumes, kinetic, moved) = jax.lax.scan(look, carry, jax.random.split(later, n_look))
    return _State(x, v, lattice, start.sites), _Seen(energies, volumes, kinetic, moved.mean(0))


_MASSES = np.asarray(atomic_masses, np.float64) / units.fs**2
"""eV fs²/Å², by atomic number."""
