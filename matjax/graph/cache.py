"""Neighbour lists built once and kept on disk: a data set larger than memory is read like a list of graphs.

A cache is a folder of shards, one subfolder of them per cutoff. A shard is a folder of flat arrays, memory-mapped: `index.npy`
has a row per crystal (its key, number of edges and checksum), the others hold the edges of all its crystals one after another.
A shard is named after the hash of its index, is written beside and renamed into place, and never changes afterwards. So a
process that is killed leaves nothing that another would read, two processes at the same crystals write the same or
neighbouring shards, and crystals are found by content: another split of the same set builds nothing again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, overload

import numpy as np

from matjax.graph.build import to_graph
from matjax.graph.neighbours import Neighbours, neighbours
from matjax.types import Crystal, Graph

VERSION = 1
"""Of what a shard holds; another version has subfolders of its own."""

INDEX = np.dtype([("key", "<u8"), ("n_edge", "<i8"), ("checksum", "<u4")])
PARTS = {"senders": ("<i4", ()), "receivers": ("<i4", ()), "vectors": ("<f4", (3,)), "pair": ("<i4", ()), "first": ("<i4", ())}

ATOMS_PER_SHARD = 2**16
"""About 100 MB at 60 neighbours per atom: what a build holds in memory, and what a killed one loses at most."""

log = logging.getLogger("matjax")


class CachedGraphs(Sequence[Graph]):
    """Graphs whose edges lie on disk; made by `cached_graphs`.

    Indexing reads one graph, slicing gives the cached graphs of these rows, `+` those of both. `sizes` [n, 2] are atoms and edges
    of each.
    """

    def __init__(
        self, crystals: Sequence[Crystal], cutoff: float, where: list[tuple[_Shard, int]], label: Callable[[int], Mapping[str, Any]]
    ) -> None:
        """Of crystals, the shard and row where each lies, and what `to_graph` is told besides."""
        self.crystals, self.cutoff, self._where, self._label = crystals, cutoff, where, label
        self.sizes = np.array([(len(c), s.index["n_edge"][r]) for c, (s, r) in zip(crystals, where, strict=True)], np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        """Number of graphs."""
        return len(self._where)

    @overload
    def __getitem__(self, row: int) -> Graph: ...
    @overload
    def __getitem__(self, row: slice) -> CachedGraphs: ...
    def __getitem__(self, row: int | slice) -> Graph | CachedGraphs:
        """One graph, or the cached graphs of a slice."""
        if isinstance(row, slice):
            rows = range(len(self))[row]
            return CachedGraphs([self.crystals[i] for i in rows], self.cutoff, self._where[row], lambda i: self._asked(rows[i]))
        row = range(len(self))[row]
        crystal, (shard, place) = self.crystals[row], self._where[row]
        found = shard.read(place)
        if found is None:
            log.warning("graph cache %s is damaged (the checksum of a crystal is wrong); deleted, to be built again", shard.folder)
            shutil.rmtree(shard.folder, ignore_errors=True)
            found = neighbours(crystal, self.cutoff, np.float32)
        return to_graph(crystal, cutoff=self.cutoff, found=found, **self._asked(row))

    def __add__(self, other: CachedGraphs) -> CachedGraphs:
        """The graphs of both, one after another, each with the row that it had.

        Raises:
          ValueError: If the cutoffs differ.
        """
        if self.cutoff != other.cutoff:
            raise ValueError(f"graphs with a cutoff of {self.cutoff} Å and of {other.cutoff} Å cannot be one set")
        n = len(self)
        asked = lambda row: self._asked(row) if row < n else other._asked(row - n)
        return CachedGraphs([*self.crystals, *other.crystals], self.cutoff, [*self._where, *other._where], asked)

    def without_edges(self) -> Iterator[Graph]:
        """Atoms and labels of every graph; nothing is read."""
        none = Neighbours(*(np.zeros((0, *tail), dtype) for dtype, tail in PARTS.values()))
        for row, crystal in enumerate(self.crystals):
            yield to_graph(crystal, cutoff=self.cutoff, found=none, **self._asked(row))

    def _asked(self, row: int) -> Mapping[str, Any]:
        return {"index": row, **self._label(row)}


def cached_graphs(
    crystals: Sequence[Crystal],
    cutoff: float,
    folder: str | Path,
    *,
    label: Callable[[int], Mapping[str, Any]] = lambda row: {},
    report: Callable[[int], None] | None = None,
) -> CachedGraphs:
    """Graphs of crystals, with neighbours from the cache; what it lacks is built and added.

    Args:
      crystals: Crystals, of which only positions need to be in memory.
      cutoff: In Å.
      folder: The cache; made where absent. Any number of data sets, cutoffs and processes may share one.
      label: Arguments of `to_graph` by row: energy, forces, domain and so on. Asked whenever a graph is read.
      report: Told the number of crystals that have been built, after each shard.

    Raises:
      ValueError: If the cutoff is not positive.
      OSError: If the folder cannot be written, as when the disk is full; what was complete by then is kept.
    """
    if not cutoff > 0:
        raise ValueError(f"cutoff is {cutoff} Å; it must be positive")
    place = Path(folder) / f"neighbours-v{VERSION}-{float(cutoff)!r}"
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    known: dict[int, tuple[_Shard, int]] = {}
    for shard in _shards(place):
        known.update((key, (shard, row)) for row, key in enumerate(shard.index["key"].tolist()))
    keys = [int(crystal.key, 16) for crystal in crystals]
    missing = {key: i for i, key in enumerate(keys) if key not in known}
    done = 0
    for rows in _parts(list(missing.values()), crystals):
        shard = _build([crystals[i] for i in rows], [keys[i] for i in rows], cutoff, place)
        known.update((keys[i], (shard, row)) for row, i in enumerate(rows))
        done += len(rows)
        if report is not None:
            report(done)
    return CachedGraphs(crystals, float(cutoff), [known[key] for key in keys], label)


class _Shard:
    """An opened shard: its index in memory, its arrays mapped, what has been checked already."""

    def __init__(self, folder: Path) -> None:
        """Opens and checks everything but the edges themselves; ValueError, EOFError or FileNotFoundError if it is damaged."""
        self.folder = folder
        self.index = np.load(folder / "index.npy")
        if self.index.dtype != INDEX or _name(self.index) != folder.name:
            raise ValueError("its index is not what it was named after")
        self.ends = np.concatenate([[0], np.cumsum(self.index["n_edge"])])
        self.checked = np.zeros(len(self.index), bool)
        self.arrays = {}
        for name, (dtype, tail) in PARTS.items():
            array = np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)
            n = self.ends[-1] // 2 if name == "first" else self.ends[-1]
            if array.dtype != np.dtype(dtype) or array.shape != (n, *tail):
                raise ValueError(f"{name}.npy has {array.shape} {array.dtype}, which is not what its index says")
            self.arrays[name] = array

    def read(self, row: int) -> Neighbours | None:
        """Neighbours of a crystal as views of the files; None where they are not what was written (looked at once)."""
        start, end = int(self.ends[row]), int(self.ends[row + 1])
        cut = {name: slice(start // 2, end // 2) if name == "first" else slice(start, end) for name in PARTS}
        found = Neighbours(**{name: array[cut[name]] for name, array in self.arrays.items()})
        if not self.checked[row]:
            self.checked[row] = _checksum(found) == self.index["checksum"][row]
        return found if self.checked[row] else None


def _shards(place: Path) -> Iterator[_Shard]:
    """Every sound shard; a damaged one is announced and deleted."""
    for folder in sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")):
        try:
            yield _Shard(folder)
        except (ValueError, EOFError, FileNotFoundError) as error:
            log.warning("graph cache %s is damaged (%s); deleted, to be built again", folder, error)
            shutil.rmtree(folder, ignore_errors=True)


def _build(crystals: list[Crystal], keys: list[int], cutoff: float, place: Path) -> _Shard:
    """Builds neighbours and writes them as a shard."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        found = list(pool.map(lambda crystal: neighbours(crystal, cutoff, np.float32), crystals))
    index = np.array([(key, len(f.senders), _checksum(f)) for key, f in zip(keys, found, strict=True)], INDEX)
    target = place / _name(index)
    draft = place / f".draft-{uuid.uuid4().hex}"
    try:
        draft.mkdir()
        np.save(draft / "index.npy", index)
        for name, (dtype, _) in PARTS.items():
            np.save(draft / f"{name}.npy", np.concatenate([getattr(f, name) for f in found]).astype(dtype, copy=False))
        if not target.exists():  # or another process was faster
            draft.rename(target)
    except OSError as error:
        if not target.exists():
            raise OSError(
                error.errno, f"cannot write the graph cache: {error.strerror}; free space or choose another folder", str(place)
            ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _Shard(target)


def _parts(rows: list[int], crystals: Sequence[Crystal]) -> Iterator[list[int]]:
    """Rows in parts of so many atoms that a shard is held in memory."""
    part, n_atom = [], 0
    for i in rows:
        part.append(i)
        n_atom += len(crystals[i])
        if n_atom >= ATOMS_PER_SHARD:
            yield part
            part, n_atom = [], 0
    if part:
        yield part


def _sweep(place: Path) -> None:
    """Deletes drafts that a killed process left more than a day ago."""
    for draft in place.glob(".draft-*"):
        try:
            old = time.time() - draft.stat().st_mtime > 86400
        except FileNotFoundError:  # its process has just finished
            continue
        if old:
            shutil.rmtree(draft, ignore_errors=True)


def _checksum(found: Neighbours) -> int:
    """CRC-32 over all arrays of a crystal."""
    value = 0
    for name in PARTS:
        value = zlib.crc32(np.ascontiguousarray(getattr(found, name)).data, value)
    return value


def _name(index: np.ndarray) -> str:
    """Name of the shard with this index (16 hex digits)."""
    return hashlib.sha256(index.tobytes()).hexdigest()[:16]
