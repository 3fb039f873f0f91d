"""What `matjax thermo --elements` does: two metals in an oracle, to free energies of mixing, stability and common tangents."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from matjax.campaign.crystals.cells import SOFT, AlloyCells, alloy_cells
from matjax.campaign.oracle import Oracle
from matjax.campaign.problem import Measured
from matjax.data.elements import number
from matjax.report.thermo_figures import mixing_curves
from matjax.simulate.cells import cells, element_volumes, ordered, solution
from matjax.simulate.prototypes import COMPOUNDS, LATTICES, prototype
from matjax.thermo.alloy.gibbs import Terms, gibbs_compounds, gibbs_elements, gibbs_mixing
from matjax.thermo.alloy.landscape import Landscape, landscape
from matjax.thermo.alloy.not_considered import not_considered
from matjax.thermo.alloy.stability import describe, stabilities
from matjax.types import Candidate
from matjax.value.price import masses

EIGHTHS, OTHER_EIGHTHS = (1, 2, 3, 4, 5, 6, 7), (2, 4, 6)  # compositions measured on the asked lattice, and on the others
N_DECORATION = 2
_EDGE = np.geomspace(1e-6, 2e-3, 60)[:-1]  # solubilities of parts per million still show
GRID = np.concatenate([[0.0], _EDGE, np.linspace(2e-3, 1 - 2e-3, 997), 1 - _EDGE[::-1], [1.0]])
NARROWEST = 4  # grid points; a narrower range of compositions is not told from one phase
ROWS = np.linspace(0.05, 0.95, 19)  # compositions in the table
HOTTEST = 5000.0  # K
ALL_TERMS = Terms()

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Region:
    """A range of compositions with the same stable phases.

    Attributes:
      phases: One name, or two for a common tangent.
      left: Fraction of the second element where it begins.
      right: Where it ends.
      gibbs: Free energy of mixing at both ends, eV/atom.
    """

    phases: tuple[str, ...]
    left: float
    right: float
    gibbs: tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """Free energies of mixing of two elements on a lattice.

    Attributes:
      elements: The two symbols; compositions are fractions of the second.
      lattice: fcc, bcc or hcp.
      temperatures: K [k].
      gibbs: Of mixing on GRID [k, n], eV/atom; relative to the elements' stable states at that temperature.
      regions: Per temperature, what is stable from the first element to the second, over all lattices and compounds.
      rows: Per temperature and composition of ROWS: gibbs_mixing, stability (eV/atom) and its competitors.
      measured: Fractions and enthalpies of mixing (eV/atom) of the cells on the lattice.
      oracle: What the oracle says of itself.
      terms: Names of the terms of the free energy.
      unstable: What the oracle holds for mechanically soft or unstable.
      set_aside: (formula, reason) of what did not converge.
    """

    elements: tuple[str, str]
    lattice: str
    temperatures: tuple[float, ...]
    gibbs: np.ndarray
    regions: tuple[tuple[Region, ...], ...]
    rows: tuple[Row, ...]
    measured: tuple[np.ndarray, np.ndarray]
    oracle: str
    terms: tuple[str, ...]
    unstable: tuple[str, ...]
    set_aside: tuple[tuple[str, str], ...]


def parse(elements: str, lattice: str, temperatures: str, known: Sequence[str]) -> tuple[tuple[str, str], str, tuple[float, ...]]:
    """The two elements, the lattice and the temperatures that a user typed.

    Raises:
      ValueError: If they are not two different elements that the oracle knows, one of LATTICES, and temperatures in (0, 5000] K.
    """
    symbols = elements.replace(",", " ").replace("-", " ").split()
    for symbol in symbols:
        number(symbol)
        if symbol not in known:
            raise ValueError(f"the laboratory has no {symbol}; it knows {', '.join(known)}")
    if len(symbols) != 2 or symbols[0] == symbols[1]:
        raise ValueError(f"curves are drawn for two different elements, not for {elements!r}; for more, give a FILE of phases")
    if lattice not in LATTICES:
        raise ValueError(f"lattice is {lattice!r}; allowed: {', '.join(LATTICES)}")
    try:
        found = tuple(sorted({float(text) for text in temperatures.split(",")}))
    except ValueError:
        found = ()
    if not found or not all(0 < t <= HOTTEST for t in found):
        raise ValueError(f"temperatures are {temperatures!r}; give kelvins in (0, {HOTTEST:g}], separated by commas")
    return (symbols[0], symbols[1]), lattice, found


def curves(elements: tuple[str, str], lattice: str, temperatures: tuple[float, ...], oracle: Oracle, terms: Terms = ALL_TERMS) -> Curves:
    """Measures cells of two elements on every lattice and in every ordered structure, and compares their free energies.

    Raises:
      ValueError: If a pure element did not converge, so that there is no reference.
    """
    table, set_aside = measure(elements, lattice, oracle)
    ground = _landscape(elements, table)
    compounds = tuple(itertools.compress(table.names, ~table.cells.is_solution))
    k = LATTICES.index(lattice)
    x = np.column_stack([1 - GRID, GRID])
    return Curves(
        elements=elements,
        lattice=lattice,
        temperatures=temperatures,
        gibbs=np.stack([np.asarray(gibbs_mixing(ground, k, x, t, terms))[0] for t in temperatures]),
        regions=tuple(_regions(ground, t, terms, compounds) for t in temperatures),
        rows=tuple(row for t in temperatures for row in _rows(ground, elements, k, t, terms, compounds)),
        measured=_mixing_enthalpies(table.cells, k),
        oracle=f"{oracle.name} {oracle.version}: {oracle.note}",
        terms=terms.names,
        unstable=tuple(
            dict.fromkeys(
                name for name, born, bulk in zip(table.names, table.cells.born, table.cells.bulk, strict=True) if not born > SOFT * bulk
            )
        ),
        set_aside=set_aside,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Measurements:
    """Cells that converged, and what each is called."""

    cells: AlloyCells
    names: tuple[str, ...]


def measure(elements: tuple[str, str], lattice: str, oracle: Oracle) -> tuple[Measurements, tuple[tuple[str, str], ...]]:
    """What the oracle says of the elements' solutions and compounds, and (formula, reason) of what did not converge."""
    a, b = elements
    wanted = [solution(name, {symbol: 1}) for name in LATTICES for symbol in elements]
    wanted += [solution(name, {a: 8 - k, b: k}) for name in LATTICES for k in (EIGHTHS if name == lattice else OTHER_EIGHTHS)]
    for name in COMPOUNDS:
        is_even = len(set(prototype(name).multiplicities)) == 1  # both ways round are the same crystal
        wanted += [ordered(name, *pair) for pair in ((a, b), (b, a))[: 1 if is_even else 2]]
    built = {c.key: cells(c, N_DECORATION if c.prototype == lattice else 1, element_volumes(elements)) for c in wanted}
    results = iter(oracle.measure([crystal for c in wanted for crystal in built[c.key]], elastic=True))
    answers = [Measured(c, tuple(itertools.islice(results, len(built[c.key])))) for c in wanted]
    good = {m.candidate.key: m for m in answers if m.converged}
    table = alloy_cells(elements, good, built)
    names = {m.candidate.key: _name(m.candidate) for m in answers}
    set_aside = tuple((m.candidate.formula, m.worst.error or m.worst.status) for m in answers if not m.converged)
    return Measurements(table, tuple(names[key] for key in table.keys)), set_aside


def as_json(found: Curves) -> str:
    """Everything but the fine grid."""
    fields = ("elements", "lattice", "temperatures", "oracle", "terms", "rows", "unstable", "set_aside")
    regions = [
        {"temperature": t, "regions": list(map(dataclasses.asdict, r))} for t, r in zip(found.temperatures, found.regions, strict=True)
    ]
    whole = {name: getattr(found, name) for name in fields} | {"stable": regions, "not_considered": _absent(found)}
    return json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def as_csv(found: Curves) -> str:
    """One line per temperature and composition."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found.rows[0])
    writer.writerows([round(value, 9) if isinstance(value, float) else value for value in row.values()] for row in found.rows)
    return text.getvalue()


def draw(found: Curves) -> Figure:
    """The curves with their common tangents, and the enthalpies behind them."""
    tangents = [[(r.left, r.gibbs[0], r.right, r.gibbs[1]) for r in regions if len(r.phases) == 2] for regions in found.regions]
    title = f"{'-'.join(found.elements)} on {found.lattice}"
    return mixing_curves(title, found.elements, GRID, found.temperatures, found.gibbs, tangents, found.measured)


def show(console: Console, found: Curves) -> None:
    """The table, what is stable at each temperature, and what all of it is worth."""
    second = found.elements[1]
    table = Table(title=f"Free energy of mixing and stability of {found.lattice} {'-'.join(found.elements)}, meV/atom")
    table.add_column(f"% {second}", justify="right")
    for t in found.temperatures:
        table.add_column(f"{t:g} K\nmixing", justify="right", no_wrap=True)
        table.add_column("\nstability", justify="right", no_wrap=True)
    by_temperature = [[row for row in found.rows if row["temperature"] == t] for t in found.temperatures]
    for at in zip(*by_temperature, strict=True):
        if round(100 * at[0]["fraction"]) % 10 == 0:
            values = [f"{1e3 * row[name]:+.1f}" for row in at for name in ("gibbs_mixing", "stability")]
            table.add_row(f"{100 * at[0]['fraction']:.0f}", *values)
    console.print(table)
    for t, regions in zip(found.temperatures, found.regions, strict=True):
        console.print(escape(f"{t:g} K, stable with rising {second}: {', '.join(map(_words, regions))}"), highlight=False, soft_wrap=True)
    if found.unstable:
        said = f"soft or mechanically unstable at 0 K, so that their vibrations are taken from the elements: {', '.join(found.unstable)}"
        console.print(escape(said), highlight=False, soft_wrap=True)
    for formula, reason in found.set_aside:
        console.print(escape(f"set aside: {formula}: {reason}"), highlight=False, soft_wrap=True)
    console.print("Stability: against the lowest mixture of other phases; negative is stable, positive falls apart.", highlight=False)
    console.print(f"Terms: {', '.join(found.terms)}. Not considered: {', '.join(_absent(found))}.", highlight=False, soft_wrap=True)
    console.print(escape(found.oracle), highlight=False, soft_wrap=True)


def _absent(found: Curves) -> tuple[str, ...]:
    return not_considered(found.elements, temperature=max(found.temperatures))


def _words(region: Region) -> str:
    """`fcc to 12.1%`, `L1_2 Ni3Cu at 25%`; three figures at either end of the scale."""
    x = region.right
    percent = f"{100 * x:.3g}" if x < 0.5 else f"{100 - float(f'{100 * (1 - x):.3g}'):.6g}"
    return f"{' + '.join(region.phases)} {'at' if region.left == region.right else 'to'} {percent}%"


def _name(candidate: Candidate) -> str:
    """`fcc Cu25 Ni75`, `L1_2 Ni3Cu`: an ordered structure by the elements on its orbits, majority first."""
    if candidate.prototype in LATTICES:
        return candidate.formula
    counts = [orbit[0] for orbit in candidate.occupancy]
    smallest = min(n for _, n in counts)
    return f"{candidate.prototype} " + "".join(f"{s}{n // smallest if n > smallest else ''}" for s, n in counts)


def _landscape(elements: tuple[str, str], table: Measurements) -> Landscape:
    """Of one member: the oracle itself."""
    found = table.cells.with_stable_moduli()
    solid = found.is_solution
    solutions, compounds = (part.points(part.energy[None]) for part in (found.select(solid), found.select(~solid)))
    return landscape(elements, masses(elements), solutions, compounds)


def _mixing_enthalpies(table: AlloyCells, lattice: int) -> tuple[np.ndarray, np.ndarray]:
    """Fractions and enthalpies of mixing of the solution's cells, relative to the elements' lowest lattices."""
    pure = table.x > 1 - 1e-9
    lowest = np.where(pure, table.energy[:, None], np.inf).min(0)
    rows = table.is_solution & (table.lattice == lattice)
    return table.x[rows, 1], table.energy[rows] - table.x[rows] @ lowest


def _regions(ground: Landscape, temperature: float, terms: Terms, compounds: Sequence[str]) -> tuple[Region, ...]:
    """What is stable along the composition axis: the lower convex hull of every curve and compound."""
    x = np.column_stack([1 - GRID, GRID])
    curves = [np.asarray(gibbs_mixing(ground, k, x, temperature, terms))[0] for k in range(len(LATTICES))]
    at = np.asarray(ground.compound_x)
    points = np.asarray(gibbs_compounds(ground, temperature, terms))[0] - at @ np.asarray(gibbs_elements(ground, temperature, terms))[0]
    names = np.repeat([*LATTICES, *compounds], [*[len(GRID)] * len(LATTICES), *[1] * len(compounds)])
    place = np.concatenate([np.tile(np.arange(len(GRID)), len(LATTICES)), np.zeros(len(compounds), int)])
    fractions = np.concatenate([np.tile(GRID, len(LATTICES)), at[:, 1]])
    gibbs = np.concatenate([*curves, points])
    lowest = lower_chain(fractions, gibbs)
    return _segments(fractions[lowest], gibbs[lowest], place[lowest], [str(names[i]) for i in lowest])


def lower_chain(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Rows of the lower convex hull of points in the plane, from left to right.

    Source:
      Andrew (1979), Another efficient algorithm for convex hulls in two dimensions.
    """
    chain: list[int] = []
    for i in map(int, np.lexsort((y, x))):
        if chain and x[i] == x[chain[-1]]:
            continue  # above the lowest point there
        while len(chain) > 1:
            (x0, y0), (x1, y1) = ((x[j], y[j]) for j in chain[-2:])
            if (x1 - x0) * (y[i] - y0) > (y1 - y0) * (x[i] - x0):
                break
            chain.pop()
        chain.append(i)
    return chain


def _segments(x: np.ndarray, gibbs: np.ndarray, place: np.ndarray, phases: Sequence[str]) -> tuple[Region, ...]:
    """Runs of neighbouring grid points of one phase, and the tangents between them."""
    ends = [i for i in range(len(x) - 1) if phases[i] != phases[i + 1] or place[i + 1] - place[i] > NARROWEST]
    found: list[Region] = []
    for first, last in zip([0, *[i + 1 for i in ends]], [*ends, len(x) - 1], strict=True):
        found.append(Region((phases[first],), float(x[first]), float(x[last]), (float(gibbs[first]), float(gibbs[last]))))
        if last + 1 < len(x):
            both = (phases[last], phases[last + 1])
            found.append(Region(both, float(x[last]), float(x[last + 1]), (float(gibbs[last]), float(gibbs[last + 1]))))
    return tuple(found)


def _rows(
    ground: Landscape, elements: tuple[str, str], lattice: int, temperature: float, terms: Terms, compounds: Sequence[str]
) -> list[Row]:
    """The table at one temperature, by thermo's one definition of stability."""
    x = np.column_stack([1 - ROWS, ROWS])
    mixing = np.asarray(gibbs_mixing(ground, lattice, x, temperature, terms))[0]
    found = stabilities(ground, np.full(len(x), lattice), x, temperature, terms=terms)
    rows = []
    for i, fraction in enumerate(ROWS):
        one = type(found)(*(np.asarray(value)[0, i] for value in found))
        competitors = describe(one, elements, compounds)
        rows.append(
            {
                "temperature": float(temperature),
                "fraction": float(fraction),
                "gibbs_mixing": float(mixing[i]),
                "stability": float(one.value),
                "competitors": " + ".join(_competitor(c) for c in competitors),
            }
        )
    return rows


def _competitor(part: Row) -> str:
    """`0.62 fcc Cu7 Ni93`."""
    composition = " ".join(f"{s}{100 * v:.3g}" for s, v in part["composition"].items())
    name = f"{part['phase']} {composition}" if part["phase"] in LATTICES else part["phase"]
    return f"{part['fraction']:.2f} {name}"
