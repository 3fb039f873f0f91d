"""Thermodynamic databases in the TDB format, read by pycalphad, as tables that JAX computes with."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from matjax.thermo.calphad.database import Database, database
from matjax.thermo.calphad.expression import Expressions
from matjax.thermo.calphad.function import constant
from matjax.thermo.calphad.phase import ANY, QUANTITIES, Parameter, Phase, terms
from matjax.units import ENERGY, PRESSURE

JOULE_PER_MOLE = ENERGY["kJ/mol"] / 1000
PASCAL = PRESSURE["Pa"]
STANDARD_PRESSURE = 101325 * PASCAL
"""One atmosphere, in eV/Å³."""

ENERGIES = {"G": "G", "L": "G"}
UNSUPPORTED_HINTS = {"ionic_liquid_2SL": "the ionic two-sublattice liquid", "mqmqa": "the modified quasichemical model"}
UNSUPPORTED_PARAMETERS = {"THETA": "Einstein", "GD": "two-state", "QKT": "Kohler-Toop"}


def read_tdb(
    source: Any,
    elements: Iterable[str] | None = None,
    phases: Iterable[str] | None = None,
    without: Iterable[str] = (),
    temperature_range: tuple[float, float] | None = None,
    gas_constant: float | None = None,
    pressure: float = STANDARD_PRESSURE,
) -> Database:
    """Reads a TDB file for some of its elements and phases.

    Read are end members, Redlich-Kister-Muggianu and reciprocal interactions, species, vacancies, the order-disorder partition and
    Inden-Hillert-Jarl magnetism. Of an ordered phase and its disordered part only the ordered phase is kept, which holds both.

    Args:
      source: Path, text of several lines, or pycalphad's `Database`.
      elements: Symbols; by default all of the database.
      phases: Names; by default all that the elements can form.
      without: Names of phases to leave out, such as those that a first try refuses.
      temperature_range: Lowest and highest temperature in K; by default those at which all parameters hold. Wider ones extrapolate.
      gas_constant: In J/mol/K; by default pycalphad's 8.3145, close to the 8.31451 of most assessments, so that numbers agree.
      pressure: In eV/Å³, put in where parameters name it (gases); volumes are left out.

    Raises:
      ValueError: If the file does not parse, lacks an element or a phase, or phases use what is not supported: all of them with the reason.

    Source:
      Lukas, Fries & Sundman (2007), Computational Thermodynamics, appendix on the format; pycalphad: Otis & Liu, J. Open Res.
      Software 5 (2017) 1.
    """
    parsed = _parse(source)
    chosen = _elements(parsed, elements)
    left_out = {name.upper() for name in without}
    names = [name for name in _phases(parsed, chosen, phases) if name not in left_out]
    built = _Reader(parsed, chosen, Expressions(parsed.symbols, pressure / PASCAL)).phases(names)
    from pycalphad import variables

    r = float(variables.R) if gas_constant is None else gas_constant
    species = {_name(s): _atoms(s) for s in parsed.species if s.name not in ("VA", "/-")}
    return database(built, [e.capitalize() for e in chosen], species, r * JOULE_PER_MOLE, temperature_range)


class _Reader:
    """Turns the phases of a parsed database into ours, for a choice of elements."""

    def __init__(self, parsed: Any, elements: Sequence[str], expressions: Expressions):
        self.parsed, self.expressions = parsed, expressions
        allowed = {*elements, "VA"}
        self.species = {s for s in parsed.species if set(s.constituents) <= allowed and s.name != "/-"}
        self.parameters = defaultdict(list)
        for entry in parsed._parameters.all():
            self.parameters[entry["phase_name"]].append(entry)

    def phases(self, names: Iterable[str]) -> list[Phase]:
        """All of them, or an error that names every one which is not supported."""
        built, refused = [], {}
        for name in names:
            try:
                built.append(self.phase(name))
                terms(built[-1])  # refuses forms that are not known
            except ValueError as error:
                refused[name] = str(error)
        if refused:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
            raise ValueError(f"{len(refused)} phases are not supported; read the others with without={tuple(refused)}. {reasons}")
        return built

    def phase(self, name: str) -> Phase:
        """One phase with its parameters, and its disordered part."""
        raw = self.parsed.phases[name]
        hints = raw.model_hints
        self._refuse(name, hints)
        constituents = [set(group) & self.species for group in raw.constituents]
        disordered = None
        if hints.get("ordered_phase") == name and hints.get("disordered_phase"):
            disordered = self.phase(hints["disordered_phase"])
            constituents = self._extended(constituents, hints["disordered_phase"])
        return Phase(
            name,
            tuple(float(sites) for sites in raw.sublattices),
            tuple(tuple(_name(s) for s in sorted(group, key=lambda s: s.name)) for group in constituents),
            tuple(self._parameters(name, constituents)),
            _magnetic(hints),
            disordered,
            not hints.get("never_disorder", False),
        )

    def _extended(self, constituents: list[set], disordered: str) -> list[set]:
        """Sublattices of an ordered phase, all but the interstitial ones with every constituent of the disordered phase's first."""
        first, *others = (set(group) & self.species for group in self.parsed.phases[disordered].constituents)
        return [group if group in others else group | first for group in constituents]

    def _parameters(self, name: str, constituents: list[set]) -> Iterable[Parameter]:
        """The parameters whose constituents are all there."""
        for entry in self.parameters[name]:
            array = entry["constituent_array"]
            quantity = ENERGIES.get(entry["parameter_type"], entry["parameter_type"])
            fits = len(array) == len(constituents) and all(
                group[0].name == ANY or set(group) <= own for group, own in zip(array, constituents, strict=True)
            )
            if not fits or quantity not in QUANTITIES:
                continue
            names = tuple((ANY,) if group[0].name == ANY else tuple(_name(s) for s in group) for group in array)
            unit = JOULE_PER_MOLE if quantity == "G" else 1.0
            try:
                value = self.expressions.function(entry["parameter"], unit)
            except ValueError as error:
                raise ValueError(f"parameter {Parameter(names, constant(0.0), entry['parameter_order'], quantity)}: {error}") from error
            yield Parameter(names, value, int(entry["parameter_order"]), quantity)

    def _refuse(self, name: str, hints: dict) -> None:
        """Refuses models that are not known, by name."""
        found = [text for hint, text in UNSUPPORTED_HINTS.items() if hint in hints]
        if hints.get("ihj_magnetic_afm_factor") == 0:
            found.append("Xiong's magnetic model")
        found += sorted(
            {UNSUPPORTED_PARAMETERS[t] for t in (e["parameter_type"] for e in self.parameters[name]) if t in UNSUPPORTED_PARAMETERS}
        )
        charged = sorted(s.name for group in self.parsed.phases[name].constituents for s in group & self.species if s.charge)
        if charged:
            found.append(f"charged species ({', '.join(charged)})")
        if found:
            raise ValueError(f"it needs {', '.join(found)}")


def _parse(source: Any) -> Any:
    """The database of a file or text as pycalphad reads it."""
    if not isinstance(source, str | Path):
        return source
    try:
        import pycalphad
    except ImportError as error:
        raise ImportError("reading TDB files needs pycalphad: pip install 'matjax[calphad]'") from error
    text = str(source) if "\n" in str(source) else Path(source).read_text(encoding="utf-8", errors="replace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pycalphad.Database(text)
    except Exception as error:  # the parser's errors have no common class
        raise ValueError(f"the TDB does not parse: {type(error).__name__}: {error}") from error


def _elements(parsed: Any, wanted: Iterable[str] | None) -> list[str]:
    """Symbols as the database writes them, sorted."""
    known = sorted(set(parsed.elements) - {"VA", "/-", "*"})
    chosen = sorted({symbol.upper() for symbol in wanted} - {"VA"}) if wanted is not None else known
    absent = [symbol.capitalize() for symbol in chosen if symbol not in known]
    if absent or not chosen:
        raise ValueError(f"the database has no {', '.join(absent) or 'elements'}; it has {', '.join(e.capitalize() for e in known)}")
    return chosen


def _phases(parsed: Any, elements: Sequence[str], wanted: Iterable[str] | None) -> list[str]:
    """Names of the phases that the elements can form."""
    from pycalphad.core.utils import filter_phases, unpack_species

    species = unpack_species(parsed, [*elements, "VA"])
    candidates = None if wanted is None else [name.upper() for name in wanted]
    unknown = [name for name in candidates or () if name not in parsed.phases]
    if unknown:
        raise ValueError(f"the database has no phase {', '.join(unknown)}; {_nearest(unknown, parsed.phases)}")
    formed = sorted(filter_phases(parsed, species, candidates))
    impossible = sorted(set(candidates or ()) - set(formed))
    if impossible or not formed:
        raise ValueError(
            f"{', '.join(impossible) or 'no phase'} cannot be formed of {', '.join(elements)}"
            " (or is the disordered part of an ordered phase that is named too)"
        )
    return formed


def _nearest(unknown: Sequence[str], known: Iterable[str], n_shown: int = 12) -> str:
    """The known names, or of many the nearest."""
    names = sorted(known)
    close = names if len(names) <= n_shown else sorted({near for name in unknown for near in get_close_matches(name, names, cutoff=0.4)})
    return f"it has {', '.join(close)}" if close is names else f"the nearest of its {len(names)} are {', '.join(close) or 'all unlike'}"


def _magnetic(hints: dict) -> tuple[float, float] | None:
    if "ihj_magnetic_structure_factor" not in hints or "ihj_magnetic_afm_factor" not in hints:
        return None
    return float(hints["ihj_magnetic_structure_factor"]), float(hints["ihj_magnetic_afm_factor"])


def _name(species: Any) -> str:
    """Elements and vacancies as chemists write them, other species as the database does."""
    is_element = set(species.constituents) == {species.name} or species.name == "VA"
    return species.name.capitalize() if is_element else species.name


def _atoms(species: Any) -> dict[str, float]:
    return {element.capitalize(): float(n) for element, n in species.constituents.items() if element != "VA"}
