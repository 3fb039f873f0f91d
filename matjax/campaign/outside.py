"""Results from outside enter a campaign as labels: once, checked as the oracle's own are, all of a file or nothing.

Nothing is charged for them and no round picked them, so they say nothing of how predictions did. The next round learns from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from matjax.campaign.export import exported_name
from matjax.campaign.exported import Entry, read_exported
from matjax.campaign.oracle import Oracle, check_result, failed, gives
from matjax.campaign.problem import Measured, Problem
from matjax.campaign.recipe import Recipe
from matjax.campaign.records import Record, learnable, read_records, read_rounds, reference_energies
from matjax.campaign.store import KNOWN, edit_store
from matjax.campaign.trace import open_read_only
from matjax.simulate.evidence import evidence, transformed
from matjax.types import Candidate, Crystal, Result
from matjax.value import Space, read_formula

AGREE = 0.005
"""Largest difference, eV/atom, between what a file and the campaign say of a crystal that both measured."""

SHEAR = 1e-3
"""Largest difference of lattice vectors, in the length of the longest, after isotropic scaling: the shape is to be kept."""

SHOWN = 5
"""Refused candidates that an error names."""


class Imported(NamedTuple):
    """What an import did.

    new: candidates that the campaign has from now on; skipped: (formula, why) of those that it had.
    """

    new: tuple[Measured, ...]
    skipped: tuple[tuple[str, str], ...]


def import_results(run_dir: str | Path, path: str | Path, problem: Problem, oracle: Oracle) -> Imported:
    """Takes results of the same oracle, measured elsewhere, into a campaign.

    Files are what `export` writes: .extxyz and .db with a relaxed crystal per row, its energy, and in `info` (the key-value
    pairs and data of a database) `candidate`, `oracle`, `max_force` in eV/Å and, where the oracle gives them, `elastic` [6, 6] in
    eV/Å³. A .csv has columns `candidate`, `oracle`, `energy [eV/atom]`, `volume [Å³/atom]` (any unit that they name) and where
    known `max_force [eV/Å]`, `bulk_modulus [GPa]`, `shear_modulus [GPa]`; other columns are not read. Several crystals of a
    candidate are rows in the order of `Problem.cells`; a single row of a .csv stands for all of them.

    No frames are taken: a network that trains on them does not see what was imported, what learns from energies and moduli does.

    Args:
      run_dir: Folder of the campaign; nobody may be working on it.
      path: The file.
      problem: Of the campaign.
      oracle: Of the campaign.

    Returns:
      What is new and what was skipped, because it is measured or picked already. Without anything new, nothing is written.

    Raises:
      ValueError: If any candidate of the file cannot be taken, naming it; or the folder holds no campaign, another one, or one
        that is being worked on. Nothing is written.
    """
    run_dir, path = Path(run_dir), Path(path)
    entries = read_exported(path)
    with open_read_only(run_dir) as connection:
        records, rounds = read_records(connection), read_rounds(connection)
        meta = dict(connection.execute("SELECT name, value FROM meta"))
    _check_campaign(run_dir, records, rounds, meta, problem, oracle)
    new, skipped = _match(path, entries, records, problem, oracle)
    if new:
        last, truth = rounds[-1]["round"], {}
        if not rounds[-1]["is_open"]:
            truth = problem.truth(learnable(records) | {m.candidate.key: m for m in new})
        with edit_store(run_dir) as store:
            if [(r.candidate.key, r.status) for r in read_records(store.connection)] != [(r.candidate.key, r.status) for r in records]:
                raise ValueError(f"{run_dir} went on while {path} was read; import it again")
            store.forget_learned()
            store.add_imported(last, [(m.candidate, m.results, truth.get(m.candidate.key)) for m in new], str(path))
    return Imported(tuple(new), tuple(skipped))


def _check_campaign(
    run_dir: Path, records: Sequence[Record], rounds: Sequence[Mapping[str, Any]], meta: Mapping[str, str], problem: Problem, oracle: Oracle
) -> None:
    """Refuses a campaign of another problem or oracle, and one that must go on first."""
    if meta["oracle"] != f"{oracle.name} {oracle.version}":
        raise ValueError(f"{run_dir} was measured by {meta['oracle']}, not by {oracle.name} {oracle.version}")
    if {r.candidate.key for r in records if r.round == KNOWN and not r.imported} != {c.key for c in problem.known()}:
        raise ValueError(f"{run_dir} holds a campaign of another problem, or none that has begun")
    if any(r["is_open"] for r in rounds[:-1]):
        raise ValueError(f"{run_dir} has candidates that are to be measured again; resume it, then import")


def _match(
    path: Path, entries: Sequence[Entry], records: Sequence[Record], problem: Problem, oracle: Oracle
) -> tuple[list[Measured], list[tuple[str, str]]]:
    """What is new, and what is skipped."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.name, entry.key), []).append(entry)
    had, references = {r.candidate.key: r for r in records}, reference_energies(records)
    names = {exported_name(r.candidate): r.candidate for r in records}
    new, skipped, refused = dict[str, Measured](), list[tuple[str, str]](), list[str]()
    for (name, key), group in groups.items():
        try:
            candidate = names.get(name) or _unknown(name, problem)
            if key and key != candidate.key:
                raise ValueError(f"its key is {key}, here it would be {candidate.key}: it is of another composition grid")
            found = Measured(candidate, _results(candidate, group, problem, oracle, references))
            if candidate.key in new:
                raise ValueError("it is there twice")
            if candidate.key not in had:
                new[candidate.key] = found
            else:
                skipped.append((candidate.formula, _skipped(had[candidate.key], found)))
        except ValueError as error:
            refused.append(f"{name}: {error}")
    if refused:
        more = f"\n  and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        told = "\n  ".join(refused[:SHOWN])
        raise ValueError(f"{path}: {len(refused)} of {len(groups)} candidates cannot be taken, so none is:\n  {told}{more}")
    return list(new.values()), skipped


def _unknown(name: str, problem: Problem) -> Candidate:
    """A candidate that the campaign never had, by its name."""
    space = getattr(problem, "space", None)
    if not isinstance(space, Space):
        raise ValueError("it is neither in the known set nor picked here, and this problem has no space of formulas")
    return read_formula(name, space)


def _results(
    candidate: Candidate, group: Sequence[Entry], problem: Problem, oracle: Oracle, references: Mapping[str, float]
) -> tuple[Result, ...]:
    """Checked results, one per crystal of the candidate."""
    version, crystals = f"{oracle.name} {oracle.version}", problem.cells(candidate)
    if other := next((entry.oracle for entry in group if entry.oracle != version), None):
        raise ValueError(f"it was measured by {other}, this campaign asks {version}")
    if len(group) == 1 and group[0].stands_for_all:
        group = [*group] * len(crystals)
    if len(group) != len(crystals):
        raise ValueError(f"it has {len(group)} crystals in the file; {len(crystals)} stand for it")
    found = []
    for crystal, entry in zip(crystals, group, strict=True):
        result = check_result(
            crystal,
            entry.result(crystal),
            elastic="elastic" in gives(oracle),
            max_force=getattr(oracle, "max_force", 0.02),
            reference_energies=references,
        )
        if not (result := _on_lattice(crystal, result)).converged:
            raise ValueError(result.error)
        found.append(result)
    return tuple(found)


def _on_lattice(crystal: Crystal, result: Result) -> Result:
    """The result with evidence, if its crystal is the one that was given, relaxed; else a failed one."""
    if not result.converged or (relaxed := result.crystal) is None:
        return result
    scale = (relaxed.volume / crystal.volume) ** (1 / 3)
    if np.abs(relaxed.lattice - scale * crystal.lattice).max() > SHEAR * scale * np.linalg.norm(crystal.lattice, axis=1).max():
        return failed("physical", "its lattice is another one than that of its candidate, however scaled")
    away = np.linalg.solve(relaxed.lattice.T, relaxed.positions.T).T - np.linalg.solve(crystal.lattice.T, crystal.positions.T).T
    unwrapped = dataclasses.replace(relaxed, positions=relaxed.positions - np.round(away) @ relaxed.lattice)
    proof = evidence(crystal, unwrapped)
    if error := transformed(crystal, proof, Recipe()):
        return failed("physical", f"against its candidate {error.removeprefix('physical: ')}")
    return dataclasses.replace(result, crystal=unwrapped, evidence=proof | dict(result.evidence))


def _skipped(record: Record, found: Measured) -> str:
    """Why a candidate is not taken that the campaign has.

    Raises:
      ValueError: If the campaign measured something else.
    """
    if not record.results:
        return "it is picked, and will be measured"
    if not record.converged:
        return "it failed; `matjax campaign retry` has it measured again"
    for own, other in zip(record.results, found.results, strict=True):
        here, there = own.labels["energy_per_atom"], other.labels["energy_per_atom"]
        if abs(here - there) > AGREE:
            raise ValueError(f"its energy is {there:.4f} eV/atom, here it was measured as {here:.4f}: the oracle was set otherwise")
    return "it is measured already"
