"""Extended XYZ, plain or compressed: frames with energies, forces, stress and any `key=value` as metadata."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from matjax.data.check import MAX_ATOMS
from matjax.data.convert import from_ase
from matjax.data.readers.record import DAMAGED, Record, named, opened, reason_of

PREFIXES = ("ref_", "dft_", "reference_")
QUANTITIES = {"energy": "energy", "forces": "forces", "force": "forces", "stress": "stress"}


def read_extxyz(path: Path, *, max_atoms: int = MAX_ATOMS) -> Iterator[Record]:
    """The frames of an extended XYZ file.

    `energy`, `forces` and `stress` are found under their own names or behind `REF_`, `DFT_` or `reference_`; where a file has
    both, the prefixed one wins, because it names the reference on purpose. `free_energy` stands in where no energy is given.

    Args:
      path: The file (.xyz, .extxyz, also .gz, .bz2, .xz).
      max_atoms: Frames that announce more are skipped unread, with the reason.

    Yields:
      One record per frame, named by its id or number; a frame that cannot be parsed carries the reason.

    Raises:
      ValueError: If the file is truncated or a frame does not start with its number of atoms, naming file and frame.
    """
    from ase.io.extxyz import XYZError, read_xyz  # all of ase.io takes longer to import than everything else here

    with opened(path) as file:
        for frame, n_atom, text in _frames(path, file, max_atoms):
            if text is None:
                reason = f"{n_atom:,} atoms are more than max_atoms={max_atoms:,}; cut a smaller cell or raise max_atoms"
                yield Record(f"frame {frame}", None, reason=reason)
                continue
            try:
                atoms = next(read_xyz(io.StringIO(text), 0))
                name, values = named(values_of(atoms), f"frame {frame}")
                yield Record(name, from_ase(atoms), values)
            except KeyError as error:
                yield Record(f"frame {frame}", None, reason=f"unknown element or column {error}")
            except (XYZError, IndexError, ValueError, TypeError, RuntimeError, StopIteration) as error:
                yield Record(f"frame {frame}", None, reason=f"malformed frame ({reason_of(error)})")


def _frames(path: Path, file: TextIO, max_atoms: int) -> Iterator[tuple[int, int, str | None]]:
    """(frame, number of atoms, text) of each frame; no text for one that is too large."""
    frame = 0
    try:
        for header in file:
            if not header.strip():
                continue
            if not header.strip().isdecimal():
                raise ValueError(f"{path}: frame {frame} should start with its number of atoms, but starts with {header.strip()[:60]!r}")
            n_atom = int(header)
            lines = islice(file, n_atom + 1)
            kept = list(lines) if n_atom <= max_atoms else None
            n_line = len(kept) if kept is not None else sum(1 for _ in lines)
            if n_line < n_atom + 1:
                raise ValueError(f"{path}: truncated: frame {frame} announces {n_atom} atoms, but the file ends after {max(n_line - 1, 0)}")
            yield frame, n_atom, None if kept is None else "".join([header, *kept])
            frame += 1
    except DAMAGED as error:
        raise ValueError(f"{path}: the compressed file is truncated or damaged in frame {frame} ({error})") from error


def values_of(atoms: Atoms) -> dict[str, Any]:
    """Energies, forces, stress and metadata of ASE atoms, from the calculator's results, `info` and `arrays`."""
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    own = {k: results[k] for k in ("energy", "forces", "stress") if k in results}
    if "energy" not in own and "free_energy" in results:
        own["energy"] = results["free_energy"]
    arrays = {k: v for k, v in atoms.arrays.items() if _quantity(k) is not None}
    for key, value in [*atoms.info.items(), *arrays.items()]:
        quantity = _quantity(key)
        own[quantity or key] = value
    if own.get("stress") is not None:
        own["stress"] = full_stress(own["stress"])
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in own.items()}


def _quantity(key: str) -> str | None:
    """`energy`, `forces` or `stress` if the key names one, else None."""
    name = key.lower()
    prefix = next((p for p in PREFIXES if name.startswith(p)), "")
    return QUANTITIES.get(name.removeprefix(prefix))


def full_stress(stress: Any) -> np.ndarray:
    """Stress [3, 3] from six Voigt components (xx, yy, zz, yz, xz, xy), nine numbers or a matrix; other shapes pass for the checks."""
    array = np.asarray(stress, float)
    if array.shape == (6,):
        return voigt_6_to_full_3x3_stress(array)
    return array.reshape(3, 3) if array.size == 9 else array
