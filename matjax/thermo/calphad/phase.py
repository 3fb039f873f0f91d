"""A phase as a database describes it, and the terms that its parameters become."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from matjax.thermo.calphad.function import Function

ANY = "*"
"""A parameter's constituent that stands for all of its sublattice."""
VACANCY = "Va"
QUANTITIES = ("G", "TC", "BMAGN")
"""What parameters give: Gibbs energy, critical temperature, magnetic moment."""

Site = tuple[int, int]
"""A site fraction: (0, i) constituent i of the phase, (1, i) the same in the disordered state; (2, 0) is one and (2, 1) zero."""
ONE, ZERO = (2, 0), (2, 1)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a phase: an end member's energy, or an interaction between the constituents that share a sublattice.

    Attributes:
      constituents: Names on each sublattice, such as `(("Al", "Zn"), ("Va",))`; `"*"` stands for any.
      value: As a function of temperature, in eV per formula unit (critical temperatures in K, moments in Bohr magnetons).
      order: Power of (y_i - y_j) of a binary interaction, index of the constituent of a ternary one; of a reciprocal one 1 for the second
        mixing sublattice and 2 for the first.
      quantity: `"G"`, `"TC"` or `"BMAGN"`.
    """

    constituents: tuple[tuple[str, ...], ...]
    value: Function
    order: int = 0
    quantity: str = "G"

    def __str__(self) -> str:
        """As databases write it."""
        return f"{self.quantity}({':'.join(','.join(names) for names in self.constituents)};{self.order})"


@dataclass(frozen=True)
class Phase:
    """A phase of the compound energy formalism.

    Attributes:
      name: Of the phase.
      sites: Sites per formula unit of each sublattice.
      constituents: Names on each sublattice.
      parameters: Of its energy, critical temperature and moment.
      magnetic: Structure factor p and antiferromagnetic factor, or None.
      disordered: The phase whose energy at the mean composition is added (order-disorder partition), or None.
      can_disorder: Whether the own part is counted from its value in the disordered state, so that it vanishes there.
    """

    name: str
    sites: tuple[float, ...]
    constituents: tuple[tuple[str, ...], ...]
    parameters: tuple[Parameter, ...] = field(repr=False)
    magnetic: tuple[float, float] | None = None
    disordered: Phase | None = field(default=None, repr=False)
    can_disorder: bool = True


class Term(NamedTuple):
    """A number times a parameter times a product of differences."""

    weight: float
    parameter: Parameter
    factors: tuple[tuple[Site, Site], ...]


def terms(phase: Phase) -> list[Term]:
    """All terms of a phase: of a partitioned one G_dis(x) + G_ord(y) - G_ord(y = x).

    Raises:
      ValueError: If a parameter's form is not known, or the sublattices of an ordered phase do not match its disordered one's.

    Source:
      Ansara, Dupin, Lukas & Sundman, J. Alloys Compd. 247 (1997) 20; Lukas, Fries & Sundman (2007), eqs. 5.144 and 5.162.
    """
    own = _sites_of(phase, 0)
    ordered = [term for parameter in phase.parameters for term in _expanded(phase, parameter, own)]
    if phase.disordered is None:
        return ordered
    substitutional, interstitial = split(phase)
    scale = substitutional_ratio(phase)
    mean = {(s, name): (1 if s in substitutional else 0, i) for (s, name), (_, i) in own.items()}
    places = [substitutional[0], *interstitial]
    inner = {(k, name): mean[s, name] for k, s in enumerate(places) for name in phase.disordered.constituents[k]}
    back = [t._replace(weight=-t.weight) for p in phase.parameters if phase.can_disorder for t in _expanded(phase, p, mean)]
    inside = [t for p in phase.disordered.parameters for t in _expanded(phase.disordered, p, inner)]
    return ordered + back + [t._replace(weight=scale * t.weight) if t.parameter.quantity == "G" else t for t in inside]


def split(phase: Phase) -> tuple[list[int], list[int]]:
    """Sublattices of a partitioned phase: those that order, which have the constituents of the disordered phase's first, and the others.

    Raises:
      ValueError: If they do not match the sublattices of the disordered phase.
    """
    assert phase.disordered is not None
    first, others = set(phase.disordered.constituents[0]), phase.disordered.constituents[1:]
    substitutional = [s for s, names in enumerate(phase.constituents) if set(names) == first]
    interstitial = [s for s in range(len(phase.sites)) if s not in substitutional]
    if not substitutional or [set(phase.constituents[s]) for s in interstitial] != [set(names) for names in others]:
        raise ValueError(
            f"phase {phase.name} cannot be partitioned: its sublattices {phase.constituents} do not match those of its disordered phase"
            f" {phase.disordered.name}, {phase.disordered.constituents}"
        )
    ratio = sum(phase.sites[s] for s in substitutional) / phase.disordered.sites[0]
    if not np.allclose([phase.sites[s] for s in interstitial], np.multiply(ratio, phase.disordered.sites[1:])):
        raise ValueError(f"phase {phase.name} and its disordered phase {phase.disordered.name} differ in their interstitial sites per atom")
    return substitutional, interstitial


def substitutional_ratio(phase: Phase) -> float:
    """Formula units of the disordered part in one of a partitioned phase."""
    assert phase.disordered is not None
    return sum(phase.sites[s] for s in split(phase)[0]) / phase.disordered.sites[0]


def disordering(phase: Phase) -> np.ndarray:
    """The matrix `[Y, Y]` from site fractions to those of the disordered state; zeros if the phase has no disordered part."""
    sites = _sites_of(phase, 0)
    matrix = np.zeros((len(sites), len(sites)))
    if phase.disordered is not None:
        substitutional, _ = split(phase)
        total = sum(phase.sites[s] for s in substitutional)
        for (s, name), (_, i) in sites.items():
            if s in substitutional:
                for other in substitutional:
                    matrix[i, sites[other, name][1]] = phase.sites[other] / total
    return matrix


def missing(phase: Phase) -> list[str]:
    """End members whose energy no parameter gives, counted as zero; of a partitioned phase those of the disordered part."""
    target = phase.disordered or phase
    given = [p.constituents for p in target.parameters if p.quantity == "G" and all(len(names) == 1 for names in p.constituents)]
    return [
        f"{target.name}:" + ":".join(member)
        for member in _members(target.constituents)
        if any(name != VACANCY for name in member)
        and not any(all(n in (name, ANY) for (n,), name in zip(entry, member, strict=True)) for entry in given)
    ]


def _members(constituents: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    if not constituents:
        yield ()
        return
    for name in constituents[0]:
        for rest in _members(constituents[1:]):
            yield (name, *rest)


def _sites_of(phase: Phase, kind: int) -> dict[tuple[int, str], Site]:
    names = [(s, name) for s, group in enumerate(phase.constituents) for name in group]
    return {key: (kind, i) for i, key in enumerate(names)}


def _expanded(phase: Phase, parameter: Parameter, sites: dict[tuple[int, str], Site]) -> list[Term]:
    """The terms of one parameter: Redlich-Kister, Muggianu's ternary, reciprocal.

    Source:
      Redlich & Kister, Ind. Eng. Chem. 40 (1948) 345; Muggianu, Gambino & Bros, J. Chim. Phys. 72 (1975) 83; Hillert, CALPHAD 4 (1980) 1;
      Lukas, Fries & Sundman (2007), eq. 5.99.
    """
    groups = [[] if names[0] == ANY else [sites[s, name] for name in names] for s, names in enumerate(parameter.constituents)]
    product = tuple((site, ZERO) for group in groups for site in group)
    mixing = [group for group in groups if len(group) > 1]
    order, sizes = parameter.order, [len(group) for group in mixing]
    if order == 0 and (sizes != [3] or _stands_alone(phase, parameter)):
        return [Term(1.0, parameter, product)]
    if sizes == [2]:
        first, second = mixing[0]
        return [Term(1.0, parameter, product + ((first, second),) * order)]
    if sizes == [2, 2] and order in (1, 2):
        first, second = mixing[-order]
        return [Term(1.0, parameter, (*product, (first, second)))]
    if sizes == [3] and order in (0, 1, 2):  # y_i + (1 - y_i - y_j - y_k)/3
        own = mixing[0][order]
        differences = [(), *(((own, other),) for other in mixing[0] if other != own)]
        return [Term(1 / 3, parameter, (*product, *extra)) for extra in differences]
    raise ValueError(
        f"phase {phase.name}: parameter {parameter} has a form that is not known (order {order} on sublattices of {sizes} mixing)"
    )


def _stands_alone(phase: Phase, parameter: Parameter) -> bool:
    """Whether a ternary parameter of order 0 has no partners of order 1 and 2: it then holds for all three, whose factors sum to one."""
    same = [p for p in phase.parameters if (p.quantity, p.constituents) == (parameter.quantity, parameter.constituents)]
    return all(p.order == 0 for p in same)
