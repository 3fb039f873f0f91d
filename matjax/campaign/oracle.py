"""What an oracle is, how its failures are told apart, and what its answers must show before anything learns from them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from ase.calculators import calculator as ase_errors

from matjax.data.elements import SYMBOLS, number
from matjax.types import Crystal, Dataset, Result
from matjax.units import ENERGY

FAILURES = {
    "transient": "the machine (a time limit, a process that died, memory, a disk); worth another attempt",
    "numerical": "the method (no convergence, a value that is not finite); worth one attempt with safer settings",
    "unlisted": "nobody: the oracle has no answer for this crystal and will have none; final, and says nothing of the crystal",
    "physical": "the crystal (lost, exploded, implausible); final",
    "waiting": "nobody: the answer is not there yet; the campaign ends its run, and asks again when it goes on",
    "programming": "the oracle itself (a wrong setting, wrong atoms, wrong units); stop and mend it",
}
"""Classes of failure: whose fault it is, and what follows."""

_DEFAULT = {"failed": "programming", "unconverged": "numerical", "transformed": "physical"}
_WRONG_SETTINGS = (ase_errors.CalculatorSetupError, ase_errors.InputError, ase_errors.PropertyNotImplementedError, FileNotFoundError)
_NUMERICAL = (ArithmeticError, np.linalg.LinAlgError, ase_errors.CalculatorError)
_TRANSIENT = (OSError, MemoryError, EOFError)  # OSError holds TimeoutError and lost connections
LARGEST_ENERGY = 100.0
"""eV/atom, from zero or, where they are known, from the reference energies."""


class Oracle(Protocol):
    """Settles what a model cannot: relaxes crystals and returns their energies, with evidence of convergence.

    A frozen, picklable spec: whatever it needs (calculators, processes, files) is made inside `measure`.
    """

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements it knows."""
        ...

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def version(self) -> str:
        """Of the code or potential behind it."""
        ...

    @property
    def note(self) -> str:
        """What a reader of its numbers must know; shown wherever they are."""
        ...

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal, in order; a crystal that fails is a result with status "failed", never an exception.

        Args:
          crystals: Crystals to relax: positions and isotropic volume, the shape of the lattice kept.
          elastic: Also the elastic constants.
          frames: Also configurations with energy, forces and stress.
        """
        ...


def check_elements(oracle: Oracle, elements: Sequence[str]) -> None:
    """Refuses elements that an oracle does not know, before anything is spent.

    Raises:
      ValueError: Naming the missing elements and listing the known ones.
    """
    missing = [symbol for symbol in elements if symbol not in oracle.elements]
    if missing:
        raise ValueError(f"the oracle {oracle.name} does not know {', '.join(missing)}; it knows {', '.join(sorted(oracle.elements))}")


def check_symbols(known: Sequence[str]) -> None:
    """Refuses a list of known elements that is empty or holds what is no element.

    Raises:
      ValueError: Saying what it holds.
    """
    if not known:
        raise ValueError("known is empty; name the elements that the calculator knows")
    for symbol in known:
        number(symbol)


def gives(oracle: Oracle) -> tuple[str, ...]:
    """What an oracle gives beside energy and volume, of "elastic" and "frames": both unless its attribute `gives` says otherwise."""
    return getattr(oracle, "gives", ("elastic", "frames"))


class OracleFailed(RuntimeError):
    """A measurement that failed, for a reason whose class is known."""

    def __init__(self, failure: str, message: str) -> None:
        """Takes one of `FAILURES` and what happened."""
        super().__init__(message)
        self.failure = failure


def foreign_elements(oracle: Oracle, crystal: Crystal) -> str:
    """What a crystal holds that an oracle does not know, in words; empty where it knows all."""
    foreign = sorted({SYMBOLS[z] for z in crystal.numbers} - set(oracle.elements))
    return f"{oracle.name} does not know {', '.join(foreign)}; it knows {', '.join(oracle.elements)}" if foreign else ""


def failed(failure: str, message: str, cost: float = 0.0) -> Result:
    """The result of a crystal that failed.

    Args:
      failure: One of FAILURES.
      message: What went wrong.
      cost: Seconds spent.
    """
    if failure not in FAILURES:
        raise ValueError(f"class of failure is {failure!r}; allowed: {', '.join(FAILURES)}")
    return Result("failed", error=f"{failure}: {message}", cost=cost)


def failed_by(error: BaseException, cost: float = 0.0) -> Result:
    """The result of a crystal at which an exception was raised; only its text is kept, so that it can travel."""
    if isinstance(error, OracleFailed):
        return failed(error.failure, str(error), cost)
    return failed(failure_of(error), f"{type(error).__name__}: {error}", cost)


def failure_of(error: BaseException) -> str:
    """The class of failure that an exception stands for: what is neither the machine nor the method is the program."""
    if type(error) is OSError and error.errno is None:
        return "programming"  # a shared library that cannot be loaded
    for failure, types in (("programming", _WRONG_SETTINGS), ("transient", _TRANSIENT), ("numerical", _NUMERICAL)):
        if isinstance(error, types):
            return failure
    return "programming"


def failure_class(result: Result) -> str:
    """The class of failure of a result, one of FAILURES; empty for a converged one."""
    if result.converged:
        return ""
    head = result.error.partition(":")[0]
    return head if head in FAILURES else _DEFAULT[result.status]


def check_result(
    crystal: Crystal,
    result: Result,
    *,
    elastic: bool = False,
    frames: bool = False,
    max_force: float | None = 0.02,
    reference_energies: Mapping[str, float] | None = None,
) -> Result:
    """The result, if it may be learned from or says itself that it may not; else a failed one that says why.

    Every result passes here, whoever measured it, before it is stored.

    Args:
      crystal: What was measured.
      result: What came back.
      elastic: Elastic constants were asked for.
      frames: Frames were asked for.
      max_force: Largest force on an atom at which a result counts as converged, eV/Å; None where labels are no relaxations
        (atoms on ideal sites, a measurement), so that no force is evidence.
      reference_energies: {symbol: eV/atom} of the elements by the same oracle, to notice wrong units.

    Returns:
      The result unchanged where it is converged and sound; where it is not converged, the same with an error of the form
      "class: message"; else a failed one without labels, keeping evidence and cost.
    """
    if not result.converged:
        told = result.error if result.error.partition(":")[0] in FAILURES else f"{failure_class(result)}: {result.error or result.status}"
        return dataclasses.replace(result, error=told)
    found = next(_problems(crystal, result, elastic, frames, max_force, reference_energies), None)
    return result if found is None else dataclasses.replace(failed(*found, result.cost), evidence=result.evidence)


def _problems(
    crystal: Crystal, result: Result, elastic: bool, frames: bool, max_force: float | None, reference_energies: Mapping[str, float] | None
) -> Iterator[tuple[str, str]]:
    """(class, message) of what is wrong with a result that calls itself converged, the most telling first."""
    if result.crystal is None:
        yield "programming", "the result is converged but holds no crystal"
        return
    yield from _wrong_atoms(crystal, result.crystal, "the relaxed crystal")
    if not np.isfinite(result.crystal.positions).all() or not np.isfinite(result.crystal.lattice).all():
        yield "numerical", "the relaxed crystal holds values that are not finite"
    for name in ("energy_per_atom", "volume_per_atom"):
        if name not in result.labels:
            yield "programming", f"the result has no label {name}; it has: {', '.join(result.labels) or 'none'}"
            return
    for name, value in result.labels.items():
        if not np.isfinite(value):
            yield "numerical", f"{name} is {value}"
    yield from _implausible_energy(crystal, result.labels["energy_per_atom"], reference_energies)
    volume = result.crystal.volume / len(crystal)
    if abs(result.labels["volume_per_atom"] / volume - 1) > 1e-3:
        yield "programming", f"volume_per_atom is {result.labels['volume_per_atom']:.3f} Å³, but that of the relaxed crystal {volume:.3f}"
    force = result.evidence.get("max_force", np.nan)
    if max_force is not None and not force <= 1.001 * max_force:
        yield "numerical", f"no evidence of convergence: max_force is {force:.4g} eV/Å; it must be given and at most {max_force:.4g}"
    yield from _wrong_elastic(result.elastic, elastic)
    yield from _wrong_frames(crystal, result.frames, frames)


def _wrong_atoms(crystal: Crystal, other: Crystal, what: str) -> Iterator[tuple[str, str]]:
    if not np.array_equal(crystal.numbers, other.numbers):
        went, came = _formula(crystal), _formula(other)
        detail = "the order changed" if went == came else f"{len(crystal)} went in ({went}), {len(other)} came back ({came})"
        yield "programming", f"{what} has the wrong atoms: {detail}"


def _formula(crystal: Crystal) -> str:
    counts = Counter(SYMBOLS[z] for z in crystal.numbers)
    return "".join(f"{symbol}{counts[symbol]}" for symbol in sorted(counts))


def _implausible_energy(crystal: Crystal, energy: float, references: Mapping[str, float] | None) -> Iterator[tuple[str, str]]:
    """Energies beyond every metal's, and those that a factor between units takes to the references."""
    symbols = [SYMBOLS[z] for z in crystal.numbers]
    expected = float(np.mean([references[s] for s in symbols])) if references and set(symbols) <= references.keys() else None
    if expected is not None and abs(expected) > 0.5:
        for unit, factor in (("hartree", ENERGY["Ha"]), ("rydberg", ENERGY["Ry"])):
            for was, should, ratio in ((unit, "eV", factor), ("eV", unit, 1 / factor)):
                if abs(energy * ratio / expected - 1) < 0.2:
                    told = f"{energy:.4g} eV/atom, {ratio:.3g} times which is the {expected:.4g} eV/atom of its elements"
                    yield "programming", f"the energy is {told}: is it in {was}, taken for {should}?"
    distance = energy - (expected or 0.0)
    if abs(distance) > LARGEST_ENERGY:
        whence = "from zero" if expected is None else f"from its elements ({expected:.4g})"
        hint = " (total energies of pseudopotentials need reference_energies)" if expected is None else ""
        yield "physical", f"the energy, {energy:.4g} eV/atom, is more than {LARGEST_ENERGY:.0f} eV/atom {whence}{hint}"


def _wrong_elastic(elastic: np.ndarray | None, wanted: bool) -> Iterator[tuple[str, str]]:
    if elastic is None:
        if wanted:
            yield "programming", "elastic constants were asked for, none came"
        return
    if np.shape(elastic) != (6, 6):
        yield "programming", f"elastic constants have shape {np.shape(elastic)}; it must be (6, 6)"
    elif not np.isfinite(elastic).all():
        yield "numerical", "elastic constants are not finite"
    elif np.abs(elastic - elastic.T).max() > 1e-3 * np.abs(elastic).max():
        yield "programming", "elastic constants are not symmetric"


def _wrong_frames(crystal: Crystal, frames: Dataset | None, wanted: bool) -> Iterator[tuple[str, str]]:
    if frames is None:
        if wanted:
            yield "programming", "frames were asked for, none came"
        return
    for name in ("energy", "forces", "stress"):
        if name not in frames.labels:
            yield "programming", f"the frames have no label {name}; they have: {', '.join(frames.labels) or 'none'}"
            return
    columns = (frames.labels["energy"], frames.labels["forces"], frames.labels["stress"])
    for frame_id, frame, energy, forces, stress in zip(frames.ids, frames.crystals, *columns, strict=True):
        yield from _wrong_atoms(crystal, frame, f"frame {frame_id}")
        if np.shape(forces) != (len(frame), 3):
            yield "programming", f"forces of frame {frame_id} have shape {np.shape(forces)}; it must be {(len(frame), 3)}"
        elif not all(np.isfinite(x).all() for x in (frame.positions, energy, forces, stress)):
            yield "numerical", f"frame {frame_id} holds values that are not finite"
