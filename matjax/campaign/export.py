"""A campaign for other programs: JSON lines, tables, CIF, ASE. Every file is written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from matjax.campaign.records import Record, read_records
from matjax.campaign.trace import TRUE, Trace, open_read_only, read_trace
from matjax.data.convert import to_ase
from matjax.types import Candidate, Result
from matjax.value.price import weight_fractions

FORMATS = ("ase.db", "extxyz", "json", "csv")


def write_trace(run_dir: Path, trace: Trace) -> Path:
    """Writes `trace.jsonl`, a line per pick."""
    lines = [json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n" for row in trace.rows]
    return _replace(run_dir / "trace.jsonl", lambda path: path.write_text("".join(lines), encoding="utf-8"))


def write_candidates(run_dir: Path, trace: Trace) -> Path:
    """Writes `candidates.csv` (see `candidates_csv`)."""
    return _replace(run_dir / "candidates.csv", lambda path: path.write_text(candidates_csv(trace), encoding="utf-8"))


def candidates_csv(trace: Trace) -> str:
    """Every pick, best first, with atomic and weight percent of each element; properties in the units of `value.UNITS`."""
    order = [*trace.best, *(row for row in trace.rows if row["utility"] is None)]
    elements = sorted({symbol for row in order for symbol in row["composition"]})
    shares = [f"{symbol} {unit}" for unit in ("at.%", "wt.%") for symbol in elements]
    predicted = [name for name in order[0] if name.startswith("predicted_")] if order else []
    columns = ["candidate", "prototype", "status", "utility", *TRUE[:-1], *shares, *predicted]
    table = csv.DictWriter(
        text := io.StringIO(), [*columns, "novelty", "why", "call", "round", "slot", "key", "error"], extrasaction="ignore"
    )
    table.writeheader()
    for row in order:
        percent = 100 * np.concatenate(_fractions(row["composition"], elements))
        table.writerow(row | {name: f"{value:.4g}" for name, value in zip(shares, percent, strict=True)})
    return text.getvalue()


def write_structures(run_dir: Path, n: int = 10) -> dict[str, str]:
    """Writes the first relaxed crystal of each of the best candidates as CIF.

    Args:
      run_dir: Folder of the campaign.
      n: How many.

    Returns:
      {candidate key: path relative to the folder}, best first.
    """
    with open_read_only(run_dir) as connection:
        records = [r for r in read_records(connection) if r.picked and r.converged and (r.truth or {}).get("utility") is not None]
    (run_dir / "structures").mkdir(exist_ok=True)
    written: dict[str, str] = {}
    for record in sorted(records, key=lambda r: -r.truth["utility"])[:n]:  # type: ignore[index]
        name = f"structures/{exported_name(record.candidate)}_{record.candidate.key[:8]}.cif"
        atoms = _atoms(record, record.results[0])
        _replace(run_dir / name, lambda path, atoms=atoms: ase.io.write(path, atoms, format="cif"))
        written[record.candidate.key] = name
    return written


def export(run_dir: str | Path, format: str, path: str | Path | None = None) -> Path:
    """Writes a campaign in a format of other programs.

    Args:
      run_dir: Folder of the campaign; it may be running.
      format: "ase.db" or "extxyz", every converged crystal of known set and picks with energy and properties; "json", the
        whole trace; "csv", the table of candidates.
      path: Where to; by default `campaign.db`, `campaign.extxyz`, `campaign.json` or `candidates.csv` in the folder.

    Returns:
      The file.

    Raises:
      ValueError: If the format is not known or there is no campaign.
    """
    run_dir = Path(run_dir)
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is not known; known: {', '.join(FORMATS)}")
    names = {"ase.db": "campaign.db", "csv": "candidates.csv"}
    target = Path(path or run_dir / names.get(format, f"campaign.{format}"))
    if format == "csv":
        text = candidates_csv(read_trace(run_dir))
        return _replace(target, lambda file: file.write_text(text, encoding="utf-8"))
    if format == "json":
        trace = read_trace(run_dir)
        content = {"meta": trace.meta, "reason": trace.reason, "rounds": trace.rounds, "rows": trace.rows}
        return _replace(target, lambda file: file.write_text(json.dumps(content, indent=1), encoding="utf-8"))
    with open_read_only(run_dir) as connection:
        records = [record for record in read_records(connection) if record.converged]
        (oracle,) = connection.execute("SELECT value FROM meta WHERE name = 'oracle'").fetchone()
    frames = [(record, _evident(_atoms(record, result), result, oracle)) for record in records for result in record.results]
    if format == "extxyz":
        return _replace(target, lambda file: ase.io.write(file, [atoms for _, atoms in frames], format="extxyz"))
    return _replace(target, lambda file: _write_database(file, frames))


def _write_database(path: Path, frames: Sequence[tuple[Record, Atoms]]) -> None:
    path.unlink(missing_ok=True)
    database: Any = ase.db.connect(path, type="db")
    with database:
        for record, atoms in frames:
            elastic = atoms.info.pop("elastic", None)
            data = {"competitors": (record.truth or {}).get("competitors"), "elastic": elastic}
            database.write(atoms, key_value_pairs=atoms.info, data=data)


def _atoms(record: Record, result: Result) -> Atoms:
    """A relaxed crystal with its energy, and in `info` what its candidate is and is worth."""
    assert result.crystal is not None
    atoms = to_ase(result.crystal)
    atoms.calc = SinglePointCalculator(atoms, energy=result.labels["energy_per_atom"] * len(atoms))
    values = {name: value for name in TRUE if isinstance(value := (record.truth or {}).get(name), float)}
    formula = exported_name(record.candidate)
    atoms.info = {"candidate": formula, "candidate_key": f"key-{record.candidate.key}", "round": record.round, "why": record.why, **values}
    return atoms


def exported_name(candidate: Candidate) -> str:
    """The formula as one word: `fcc_Al10_Co30_Ni60`."""
    return candidate.formula.replace(" | ", "-").replace(" ", "_")


def _evident(atoms: Atoms, result: Result, oracle: str) -> Atoms:
    """With what another campaign must know to learn from it: the oracle, the largest force (eV/Å), elastic constants [6, 6] (eV/Å³)."""
    force = {"max_force": result.evidence["max_force"]} if "max_force" in result.evidence else {}
    elastic = {} if result.elastic is None else {"elastic": np.asarray(result.elastic, float)}
    atoms.info |= {"oracle": oracle, **force, **elastic}
    return atoms


def _fractions(composition: dict[str, float], elements: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Atomic and weight fractions [n_element]."""
    atomic = np.array([composition.get(symbol, 0.0) for symbol in elements])
    return atomic, weight_fractions(elements, atomic)


def _replace(path: Path, write: Callable[[Path], Any]) -> Path:
    """Writes beside the file, then puts it in its place at once."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        with open(partial, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
