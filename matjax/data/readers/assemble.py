"""Records become a data set: bad ones set aside, columns told apart, units converted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from matjax.data.check import MAX_ATOMS, Policy, check_policy, is_formation, label_problems, periodicity, problems
from matjax.data.readers.columns import ALWAYS, TENSORS, domain_column, is_label, is_number, label_column, unique, with_tensors
from matjax.data.readers.label_units import converted
from matjax.data.readers.record import Record
from matjax.types import Dataset, Metadata

OFF_EQUILIBRIUM = 0.1  # eV/Å


def assemble(
    records: Iterable[Record],
    *,
    source: str,
    label: str | Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    policy: Policy = "set_aside",
    max_atoms: int = MAX_ATOMS,
    name: str | None = None,
) -> Dataset:
    """The data set of records.

    Columns are told apart by type. Without `label`, every column of fractional numbers is a label, and so are `energy`,
    `forces`, `stress` and `*_per_atom`; whole numbers, truth values and short text are domain columns. With `label`, only
    these are (with `energy` also forces and stress), every other column is a domain column, and a record without a value
    for any of them is set aside. NaN is a bad value, except in a table of several properties that names no `label`: there it is
    an absent one, and the notes count it. Repeated names become `name#2`, `name#3`, and the notes say so.

    Args:
      records: From a reader.
      source: Path, for messages and metadata.
      label: Name or names of the targets.
      units: {label: unit of the source}; the labels are converted to eV, eV/atom, eV/Å or eV/Å³.
      policy: `set_aside` leaves a bad record out and lists it in `metadata.set_aside`; `raise` stops at the first.
      max_atoms: Larger crystals are bad records.
      name: Of the data set.

    Returns:
      The data set, with at least one crystal.

    Raises:
      ValueError: If nothing is left, the label does not exist, a unit is unknown, or formation energies cannot be in eV/atom.
    """
    check_policy(policy)
    wanted = (label,) if isinstance(label, str) else tuple(label or ())
    records = list(records)
    _check_wanted(wanted, records, source)
    kept, aside = _sorted_out(records, source, wanted, policy, max_atoms)
    columns = {column: [r.values.get(column) for r in kept] for column in dict.fromkeys(c for r in kept for c in r.values)}
    crystals = tuple(r.crystal for r in kept if r.crystal is not None)
    ids, repeated = unique([r.name for r in kept])
    raw = {c: label_column(c, v, crystals) for c, v in columns.items() if is_label(c, v, wanted)}
    labels, stated = converted(raw, units or {}, [len(c) for c in crystals])
    domains = {c: d for c, v in columns.items() if c not in labels and (d := domain_column(v)) is not None}
    nan = {c: n for c, v in columns.items() if c in labels and (n := sum(map(_is_nan, v)))}
    left_out = [c for c in columns if c not in labels and c not in domains]
    notes = [
        f"{repeated} repeated ids were made unique with #2, #3, ..." if repeated else "",
        periodicity(crystals),
        f"NaN read as absent: {', '.join(f'{n} of {c}' for c, n in nan.items())}" if nan else "",
        f"columns left out (neither numbers nor short text): {', '.join(left_out)}" if left_out else "",
    ]
    metadata = Metadata(
        name=name or source,
        units=stated,
        reference=_reference(labels),
        functional=_functional(domains),
        structures=_structures(labels),
        source=source,
        notes="; ".join(filter(None, notes)),
        set_aside=tuple(aside),
    )
    return Dataset(crystals, ids, labels, domains, metadata)


def _sorted_out(
    records: Iterable[Record], source: str, wanted: tuple[str, ...], policy: Policy, max_atoms: int
) -> tuple[list[Record], list[tuple[str, str]]]:
    """Good records, and (name, reason) of the others."""
    kept: list[Record] = []
    aside: list[tuple[str, str]] = []
    for record in records:
        reason = record.reason or "; ".join(_problems(record, wanted, max_atoms))
        if reason and policy == "raise":
            raise ValueError(f"{source}: {record.name}: {reason}")
        if reason:
            aside.append((record.name, reason))
        else:
            kept.append(record)
    if not kept:
        first = "; ".join(f"{name}: {reason}" for name, reason in aside[:3])
        raise ValueError(
            f"{source}: no usable record" + (f": all {len(aside)} were set aside ({first})" if aside else ": the file holds none")
        )
    return kept, aside


def _problems(record: Record, wanted: tuple[str, ...], max_atoms: int) -> list[str]:
    if record.crystal is None:
        return ["it has no structure"]
    found = problems(record.crystal, max_atoms=max_atoms)
    if found:
        return found
    names = with_tensors(wanted) if wanted else tuple(record.values)
    present = {n: record.values[n] for n in names if record.values.get(n) is not None}
    numeric = {n: v for n, v in present.items() if n in TENSORS or isinstance(v, (int, float))}
    text = [f"{n} is {v!r}, not a number" for n, v in present.items() if n not in numeric and n in (*wanted, "energy")]
    missing = [f"no value for {' or '.join(wanted)}"] if wanted and not set(wanted) & set(present) else []
    return text + missing + label_problems(record.crystal, numeric if wanted else _without_absent(numeric))


def _without_absent(numeric: dict[str, Any]) -> dict[str, Any]:
    """Drops NaN where it can only mean absent: in a table of many properties, beside one that has a value."""
    nan = {n for n, v in numeric.items() if n not in ALWAYS and _is_nan(v)}
    valued = any(isinstance(v, float) for n, v in numeric.items() if n not in nan)
    return {n: v for n, v in numeric.items() if n not in nan} if valued else numeric


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _check_wanted(wanted: tuple[str, ...], records: Sequence[Record], source: str) -> None:
    columns = {c for r in records for c in r.values}
    numeric = sorted({c for r in records for c, v in r.values.items() if c in TENSORS or is_number(v)})
    for name in wanted:
        if records and name not in columns:
            raise ValueError(f"{source}: has no label {name!r}; its numeric columns are {', '.join(numeric) or 'none'}")


def _reference(labels: Mapping[str, Any]) -> str:
    if "energy" in labels:
        return "functional"
    return "elements" if any("form" in name and is_formation(name) for name in labels) else "unknown"


def _functional(domains: Mapping[str, np.ndarray]) -> str:
    names = set(domains.get("functional", np.array(["unknown"])).tolist())
    return str(names.pop()) if len(names) == 1 else f"mixed ({', '.join(sorted(map(str, names)))})"


def _structures(labels: Mapping[str, Any]) -> str:
    """`unrelaxed` or `relaxed` where forces say so, else `unknown`."""
    largest = [np.abs(f).max() for f in labels.get("forces", ()) if np.isfinite(f).all()]
    if not largest:
        return "unknown"
    return "unrelaxed" if max(largest) > OFF_EQUILIBRIUM else "relaxed"
