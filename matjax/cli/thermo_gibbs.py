"""`matjax thermo gibbs`: free energies of crystals over temperature by a potential."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from matjax.cli.predict_run import Input, load_trusted, read_inputs
from matjax.report.style import OTHERS, STYLE, panel
from matjax.simulate.batch_relax import batch_relax
from matjax.simulate.primitive import primitive
from matjax.thermo.free_energy.of_potential import debye_phase, harmonic_phase, quasi_harmonic_phase
from matjax.thermo.free_energy.phase import Phase
from matjax.thermo.free_energy.properties import table
from matjax.types import Crystal

Row = dict[str, Any]

VIBRATIONS: dict[str, Callable[[Any, Crystal], Phase]] = {
    "debye": debye_phase,
    "harmonic": harmonic_phase,
    "quasi-harmonic": quasi_harmonic_phase,
}
"""What the vibrations are computed from, cheapest first."""

REST = (1e-3, 1e-4)  # eV/Å, eV/Å³


def run(files: Sequence[str], model: str, vibrations: str, at: np.ndarray, relax: bool, format: str | None) -> tuple[list[Row], Input]:
    """A row per crystal and temperature; crystals without an answer have one row that says why.

    Raises:
      ValueError: If `vibrations` is unknown, or the model is no potential.
    """
    if vibrations not in VIBRATIONS:
        raise ValueError(f"--vibrations {vibrations!r}; allowed: {', '.join(VIBRATIONS)}")
    predictor, _ = load_trusted(model)
    predictor.supervision.require("forces")
    given = read_inputs(files, format)
    crystals, why = _primitive(given.crystals)
    results = batch_relax(predictor, crystals, max_force=REST[0], max_stress=REST[1]) if relax else None
    rows: list[Row] = []
    with Progress(TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        for i in bar.track(range(len(crystals)), description=f"{vibrations} free energies"):
            name = {key: given.rows[i][key] for key in ("file", "record", "formula") if key in given.rows[i]}
            if why[i]:
                rows.append({**name, "T (K)": float("nan"), "note": why[i]})
                continue
            result = None if results is None else results[i]
            if result is not None and (not result.converged or result.crystal is None):
                rows.append({**name, "T (K)": float("nan"), "note": f"not at rest: {result.status} {result.error}".strip()})
                continue
            crystal = crystals[i] if result is None or result.crystal is None else result.crystal
            try:
                found = table(VIBRATIONS[vibrations](predictor, crystal), at)
            except ValueError as error:
                found = [{"T (K)": float("nan"), "note": str(error)}]
            rows += [{**name, **row} for row in found]
    return rows, given


def draw(rows: Sequence[Row]) -> Figure:
    """G(T) per atom of every crystal, from its value at the first temperature on."""
    with matplotlib.rc_context(STYLE):
        figure, axes = panel((4.6, 3.2))
        for k, ((file, record), mine) in enumerate(_by_crystal(rows).items()):
            temperature, gibbs = (np.array([row.get(name, np.nan) for row in mine], float) for name in ("T (K)", "G (kJ/mol)"))
            axes.plot(
                temperature, gibbs - gibbs[0], color=OTHERS[k % len(OTHERS)], label=f"{mine[0].get('formula', file)} {record}".strip()
            )
        axes.set(xlabel="temperature (K)", ylabel="G(T) - G(first) (kJ/mol of atoms)")
        axes.legend(loc="lower left")
        return figure


def show(console: Console, rows: Sequence[Row], model: str, vibrations: str) -> None:
    """One table per crystal."""
    console.print(f"{vibrations} free energies by {model}, per mole of atoms; energies count from the model's own zero", highlight=False)
    for (file, record), mine in _by_crystal(rows).items():
        names = [name for name in mine[0] if name not in ("file", "record", "formula")]
        shown = Table(*names, title=f"{file} {record} {mine[0].get('formula', '')}".strip(), title_justify="left")
        for row in mine:
            shown.add_row(*(f"{row[name]:.6g}" if isinstance(row.get(name), float) else str(row.get(name, "")) for name in names))
        console.print(shown)


def _primitive(crystals: Sequence[Crystal]) -> tuple[list[Crystal], list[str]]:
    """Primitive cells, and why a crystal has none (it then stands for itself)."""
    cells, why = [], []
    for crystal in crystals:
        try:
            cell, reason = primitive(crystal), ""
        except ValueError as error:
            cell, reason = crystal, str(error)
        cells.append(cell)
        why.append(reason)
    return cells, why


def _by_crystal(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((str(row.get("file", "")), str(row.get("record", ""))), []).append(row)
    return found
