"""Named data sets that ship with matjax.

`flla`: 3,938 Materials Project crystals (Faber, Lindmaa, von Lilienfeld, Armiento 2015) with formation energy and
energy above hull, written by `experiments/data/build_embedded.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matjax.data.domains import crystal_system
from matjax.types import Crystal, Dataset, Metadata

if TYPE_CHECKING:  # the reader's libraries are imported when a file is read
    from matjax.data.check import Policy

FLLA = Metadata(
    name="flla",
    units={"formation_energy_per_atom": "eV/atom", "energy_above_hull": "eV/atom"},
    reference="elements",
    functional="PBE, GGA and GGA+U mixed (Materials Project 2015)",
    structures="relaxed",
    source="flla_2015.csv.gz of matminer 0.4.0; Materials Project, materialsproject.org",
    citation=(
        "Faber, Lindmaa, von Lilienfeld, Armiento, Int. J. Quantum Chem. 115, 1094 (2015), doi:10.1002/qua.24917; "
        "Jain et al., APL Materials 1, 011002 (2013), doi:10.1063/1.4812323"
    ),
    license="CC BY 4.0",
    notes=(
        "Formation energies of the Materials Project contain fitted corrections by anion (oxides, sulfides, fluorides, nitrides and "
        "others) and mix GGA with GGA+U for oxides and fluorides of some transition metals. Part of a shift between anion classes is "
        "therefore a change of label convention, not of chemistry. Space groups: spglib, symprec 0.1 Å."
    ),
)


def _flla() -> Dataset:
    """The embedded Materials Project crystals."""
    with (resources.files("matjax.data") / "flla.npz").open("rb") as stream:
        archive = np.load(stream)
        columns = {name: archive[name] for name in archive.files}
    lattice, frac = columns["lattice"] / 1e8, columns["frac"] / 1e8
    ends = np.cumsum(columns["n_atom"].astype(int))[:-1]
    atoms = zip(lattice, np.split(frac, ends), np.split(columns["numbers"], ends), strict=True)
    space_group = columns["space_group"].astype(int)
    return Dataset(
        crystals=tuple(Crystal(rows, f @ rows, numbers) for rows, f, numbers in atoms),
        ids=tuple(f"mp-{i}" for i in columns["id"]),
        labels={name: columns[name] for name in FLLA.units},
        domains={"crystal_system": crystal_system(space_group), "space_group": space_group},
        metadata=FLLA,
    )


NAMED: dict[str, Callable[[], Dataset]] = {"flla": _flla}


def load(
    name_or_path: str | Path,
    *,
    format: str | None = None,
    label: str | Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    targets: str | Path | None = None,
    policy: Policy = "set_aside",
) -> Dataset:
    """A data set by name (`flla`), or read from a file or folder.

    Args:
      name_or_path: A name in `NAMED`, else a path for `matjax.data.read.read`.
      format: File format; None guesses it.
      label: Label or labels to read; None takes what is there.
      units: {label: unit in the file}.
      targets: CSV of targets beside a folder of structures.
      policy: What to do with a bad record: `set_aside` or `raise`.

    Returns:
      The data set, in eV, Å and K.

    Raises:
      ValueError: If it is neither a named set nor an existing path, or a reader's option is given with a name.
      FileNotFoundError: If the reader finds nothing at a path.

    Example:
      >>> len(load("flla"))
      3938
    """
    name = str(name_or_path)
    if name in NAMED:
        if any(option is not None for option in (format, label, units, targets)):
            raise ValueError(f"{name!r} is a named set and its labels are known; give format, label, units and targets with a path only")
        return NAMED[name]()
    path = Path(name_or_path)
    if not path.exists() and path.parent == Path("."):
        nearest = difflib.get_close_matches(name, NAMED, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"{name!r} is neither a named data set ({', '.join(NAMED)}) nor a path that exists{hint}")
    from matjax.data.read import read

    return read(path, format=format, label=label, units=units, targets=targets, policy=policy)
