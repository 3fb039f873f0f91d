"""Relaxed cells of an alloy, kept by what they depend on: an interrupted call goes on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.simulate.batch_relax import batch_relax
from matjax.simulate.network import Network
from matjax.simulate.relax import Cell
from matjax.types import Crystal, Result


@dataclasses.dataclass(frozen=True)
class AlloyCell:
    """What is relaxed: of a lattice (an index) or a compound; how its cell may move."""

    name: str
    lattice: int
    is_compound: bool
    crystal: Crystal
    mode: Cell


class Store:
    """Relaxations by key: in memory, and in a file of JSON lines where there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8") if path is not None and path.exists() else ""
        self.rows: dict[str, dict[str, Any]] = {row["key"]: row for line in text.splitlines() if (row := _whole(line)) is not None}
        if path is not None and text and not text.endswith("\n"):  # what comes next begins on a line of its own
            path.write_text(text + "\n", encoding="utf-8")

    def add(self, row: dict[str, Any]) -> None:
        """Keeps a row under its key."""
        self.rows[row["key"]] = row
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def _whole(line: str) -> dict[str, Any] | None:
    """A line of the file; none where writing it was interrupted."""
    return json.loads(line) if line.startswith("{") and line.endswith("}") else None


def relaxed(
    member: Network,
    wanted: Sequence[AlloyCell],
    store: Store,
    advance: Callable[[int], None],
    *,
    max_force: float,
    n_step: int,
    batch_size: int,
) -> list[dict[str, Any]]:
    """Every cell in one member: energy (eV) and volume (Å³) per atom, None where it did not come to rest and `error` says why.

    Args:
      member: A network of one member.
      wanted: The cells.
      store: What is known already, by a hash of the crystal, the settings and the member's weights; it learns the rest.
      advance: Called with how many more cells are done.
      max_force: Largest force on an atom at rest, eV/Å.
      n_step: Most steps of a relaxation.
      batch_size: Crystals side by side.
    """
    weights = hashlib.sha256(repr((member.model, max_force, n_step)).encode())
    for leaf in jax.tree.leaves(member.variables):
        weights.update(np.asarray(leaf).tobytes())
    weights.update(np.asarray(member.references).tobytes())
    keys = [_key(weights, cell) for cell in wanted]
    missing = [i for i, key in enumerate(keys) if key not in store.rows]
    advance(len(wanted) - len(missing))
    for part in _parts(wanted, missing, batch_size):
        settings = {"cell": wanted[part[0]].mode, "max_force": max_force, "n_step": n_step}
        results = batch_relax(member, [wanted[i].crystal for i in part], batch_size=min(batch_size, len(part)), **settings)
        for i, result in zip(part, results, strict=True):
            store.add({"key": keys[i], "name": wanted[i].name} | _row(result))
        advance(len(part))
    return [store.rows[key] for key in keys]


def _key(weights: Any, cell: AlloyCell) -> str:
    found = weights.copy()
    for array in (cell.crystal.lattice, cell.crystal.positions, cell.crystal.numbers):
        found.update(np.ascontiguousarray(array).tobytes())
    found.update(cell.mode.encode())
    return found.hexdigest()[:32]


def _parts(wanted: Sequence[AlloyCell], missing: Sequence[int], size: int) -> Iterator[list[int]]:
    """Cells that are relaxed in one call: alike in mode and size, so that few programs are compiled."""
    groups: dict[tuple[str, int], list[int]] = {}
    for i in missing:
        groups.setdefault((wanted[i].mode, len(wanted[i].crystal) // 16), []).append(i)
    for group in groups.values():
        yield from (group[k : k + 4 * size] for k in range(0, len(group), 4 * size))


def _row(result: Result) -> dict[str, Any]:
    """What is kept of a relaxation."""
    if not result.converged or (crystal := result.crystal) is None:
        return {"energy": None, "volume": None, "lattice": None, "positions": None, "error": result.error or result.status}
    return {
        "energy": result.labels["energy_per_atom"],
        "volume": result.labels["volume_per_atom"],
        "lattice": crystal.lattice.tolist(),
        "positions": crystal.positions.tolist(),
        "error": "",
    }
