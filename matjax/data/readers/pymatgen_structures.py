"""pymatgen structures that are already in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matjax.data.check import MAX_ATOMS, Policy
from matjax.data.convert import from_pymatgen
from matjax.data.readers.assemble import assemble
from matjax.data.readers.record import Record, attempt
from matjax.types import Dataset

if TYPE_CHECKING:
    from pymatgen.core import Structure


def from_structures(
    structures: Iterable[Structure],
    targets: Mapping[str, Sequence[Any]] | None = None,
    *,
    ids: Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    policy: Policy = "set_aside",
    max_atoms: int = MAX_ATOMS,
    name: str = "structures",
) -> Dataset:
    """The data set of pymatgen structures and columns of targets, with the checks and units of `read`.

    Args:
      structures: pymatgen structures; a disordered one is a bad record.
      targets: {column: one value per structure, None where absent}. See `assemble` for what becomes a label.
      ids: Names; by default `structure 0`, `structure 1`, ...
      label: Name or names of the targets to learn.
      units: {label: unit of the values}.
      policy: What happens to bad records.
      max_atoms: Larger crystals are bad records.
      name: Of the data set.

    Raises:
      ValueError: As `read` does, or if a column has another length.

    Example:
      >>> from pymatgen.core import Lattice, Structure
      >>> mgo = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
      >>> from_structures([mgo], {"formation_energy_per_atom": [-3.12]}).metadata.units
      {'formation_energy_per_atom': 'eV/atom'}
    """
    structures = list(structures)
    names = list(ids) if ids is not None else [f"structure {k}" for k in range(len(structures))]
    for column, values in {"ids": names, **(targets or {})}.items():
        if len(values) != len(structures):
            raise ValueError(f"{column} has {len(values)} values for {len(structures)} structures")
    records = _records(structures, names, targets or {})
    return assemble(records, source=name, label=label, units=units, policy=policy, max_atoms=max_atoms, name=name)


def _records(structures: Sequence[Structure], names: Sequence[str], targets: Mapping[str, Sequence[Any]]) -> Iterator[Record]:
    for k, (structure, name) in enumerate(zip(structures, names, strict=True)):
        values = {c: v[k].item() if hasattr(v[k], "item") else v[k] for c, v in targets.items()}
        yield attempt(name, values, lambda s=structure: from_pymatgen(s))
