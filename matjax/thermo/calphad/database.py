"""Databases: the phases of a chemical system by name, with the tables that energies are computed from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from matjax.thermo.calphad.function import Function, constant
from matjax.thermo.calphad.phase import ANY, QUANTITIES, VACANCY, Parameter, Phase, missing
from matjax.thermo.calphad.system import System
from matjax.thermo.calphad.tables import tables
from matjax.thermo.host import float64
from matjax.units import BOLTZMANN


@dataclass(frozen=True)
class Database:
    """Phases of a chemical system on the host.

    Attributes:
      elements: Symbols, in the order of `system.content`.
      phases: Names, in the order of the system's rows.
      constituents: Names on each sublattice of each phase, in the order of the site fractions.
      system: The tables.
      missing: End members without a parameter, whose energy counts as zero, by phase. Judge them before you trust that phase.
    """

    elements: tuple[str, ...]
    phases: tuple[str, ...]
    constituents: tuple[tuple[tuple[str, ...], ...], ...]
    system: System = field(repr=False)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def index(self, phase: str) -> int:
        """The row of a phase.

        Raises:
          ValueError: If the database has no such phase.
        """
        if phase not in self.phases:
            raise ValueError(f"no phase {phase!r}; the database has {', '.join(self.phases)}")
        return self.phases.index(phase)

    def site_fractions(self, phase: str, fractions: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Site fractions `[Y]` as `energy` takes them, from one mapping of constituents per sublattice; those not named are zero.

        Raises:
          ValueError: If a constituent is unknown there, a fraction negative, or a sublattice does not sum to one.

        Example:
          >>> data = database([solution("fcc", {"Al": 0.0, "Zn": 0.0})])
          >>> data.site_fractions("fcc", [{"Al": 0.75, "Zn": 0.25}])
          array([0.75, 0.25])
        """
        groups = self.constituents[self.index(phase)]
        if len(fractions) != len(groups):
            raise ValueError(f"phase {phase} has {len(groups)} sublattices, {groups}, not {len(fractions)}")
        for group, given in zip(groups, fractions, strict=True):
            values = np.array(list(given.values()), float)
            if not set(given) <= set(group) or not np.all(values >= 0) or abs(values.sum() - 1) > 1e-9:
                raise ValueError(f"a sublattice of {phase} needs fractions of {', '.join(group)} that sum to one, got {dict(given)}")
        y = np.zeros(self.system.sublattice.shape[1])
        flat = [given.get(name, 0.0) for group, given in zip(groups, fractions, strict=True) for name in group]
        y[: len(flat)] = flat
        return y


def solution(
    name: str,
    end_members: Mapping[str, float | Function],
    interactions: Mapping[tuple[str, ...], Sequence[float | Function]] | None = None,
    sites: float = 1.0,
) -> Phase:
    """A substitutional solution on one sublattice, from numbers or functions of temperature in eV per formula unit.

    Args:
      name: Of the phase.
      end_members: Gibbs energy of each pure constituent.
      interactions: For two constituents the Redlich-Kister coefficients L0, L1, ... of y_i y_j (y_i - y_j)^k, in the order in which the two
        are written; for three, one ternary coefficient or one for each of them (Muggianu).
      sites: Per formula unit.

    Example:
      >>> regular = solution("fcc", {"Al": 0.0, "Zn": 0.0}, {("Al", "Zn"): [0.1]})
    """
    parameters = [Parameter(((constituent,),), _function(value)) for constituent, value in end_members.items()]
    for names, values in (interactions or {}).items():
        parameters += [Parameter((names,), _function(value), order) for order, value in enumerate(values)]
    return Phase(name, (sites,), (tuple(end_members),), tuple(parameters))


def database(
    phases: Sequence[Phase],
    elements: Sequence[str] | None = None,
    species: Mapping[str, Mapping[str, float]] | None = None,
    boltzmann: float = BOLTZMANN,
    temperature_range: tuple[float, float] | None = None,
) -> Database:
    """Tables of phases.

    Args:
      phases: What `solution` makes, or a `Phase` of your own.
      elements: Symbols and their order; by default all that occur, sorted.
      species: Atoms in each constituent that is not an element; vacancies are `"Va"`.
      boltzmann: In eV/K; databases were assessed with older values of the gas constant.
      temperature_range: Lowest and highest temperature in K instead of the parameters' own: their outermost pieces go on to there.

    Raises:
      ValueError: If two phases share a name, a constituent is unknown or a parameter does not fit its phase.

    Example:
      >>> database([solution("fcc", {"Al": 0.0, "Zn": 0.0}, {("Al", "Zn"): [0.1]})]).elements
      ('Al', 'Zn')
    """
    names = tuple(phase.name for phase in phases)
    if not phases or len(set(names)) < len(names):
        raise ValueError(f"a database needs at least one phase, and names of their own for all, got {list(names)}")
    for phase in phases:
        _check(phase)
    content = _contents(phases, species or {})
    known = sorted({element for atoms in content.values() for element in atoms})
    chosen = tuple(elements or known)
    if set(known) - set(chosen):
        raise ValueError(f"the phases hold {', '.join(known)}, not only the elements {', '.join(chosen)}")
    with float64():
        system = tables(phases, chosen, content, boltzmann, temperature_range)
    gaps = {phase.name: tuple(missing(phase)) for phase in phases}
    return Database(chosen, names, tuple(p.constituents for p in phases), system, {k: v for k, v in gaps.items() if v})


def _contents(phases: Sequence[Phase], species: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """Atoms in each constituent."""
    used = {name for phase in phases for names in phase.constituents for name in names}
    unknown = sorted(name for name in used if name not in species and name != VACANCY and not re.fullmatch("[A-Z][a-z]?", name))
    if unknown:
        raise ValueError(f"constituents {', '.join(unknown)} are no elements: say in `species` which atoms they hold")
    return {name: species.get(name, {} if name == VACANCY else {name: 1.0}) for name in used}


def _check(phase: Phase) -> None:
    """Refuses sublattices that do not match, and parameters whose sublattices or constituents the phase does not have."""
    for part in filter(None, (phase, phase.disordered)):
        if len(part.sites) != len(part.constituents):
            raise ValueError(f"phase {part.name} has {len(part.sites)} sites for {len(part.constituents)} sublattices")
        for parameter in part.parameters:
            fits = len(parameter.constituents) == len(part.constituents) and all(
                set(names) <= {*own, ANY} for names, own in zip(parameter.constituents, part.constituents, strict=False)
            )
            if not fits or parameter.quantity not in QUANTITIES:
                raise ValueError(f"phase {part.name} with constituents {part.constituents} cannot have the parameter {parameter}")


def _function(value: float | Function) -> Function:
    return value if isinstance(value, Function) else constant(value)
