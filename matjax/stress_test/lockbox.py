"""The lockbox: a share of the domains of every family is sealed before the first run, and every opening is written down.

Domains that are looked at again and again stop being new: choices follow them. The sealed ones are not tested, their names are
kept as hashes, and `lockbox.json` records who opened it when and why. It guards against looking by accident, not against
somebody who hashes the names.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matjax.types import Dataset, Split

VERSION = 1


@dataclasses.dataclass(frozen=True)
class Lockbox:
    """Sealed domains by family.

    Attributes:
      path: The file.
      data: Content hash of the crystals, which salts the hashes.
      share: Share of each family that is sealed.
      families: {shift: {"n": domains, "sealed": hashes, "date": when it was sealed}}.
      openings: {"date", "reason", "n"} of every time sealed domains were tested.
    """

    path: Path
    data: str
    share: float
    families: Mapping[str, Mapping[str, Any]]
    openings: tuple[Mapping[str, Any], ...] = ()

    def sealed(self, shift: str, domain: str) -> bool:
        """Whether a domain of a shift is sealed."""
        return _hash(self.data, shift, domain) in self.families.get(shift, {}).get("sealed", ())

    def opened(self, reason: str, n: int) -> Lockbox:
        """The lockbox with one more opening, on disk before any sealed domain is tested.

        Raises:
          ValueError: If no reason is given.
        """
        if not reason.strip():
            raise ValueError("opening the lockbox needs a reason; it is written down")
        return self._saved(openings=(*self.openings, {"date": _today(), "reason": reason.strip(), "n": n}))

    def with_families(self, domains: Mapping[str, Sequence[str]]) -> Lockbox:
        """The lockbox with families that it does not know sealed; those it knows stay as they are."""
        fresh = {shift: self._sealed(shift, names) for shift, names in domains.items() if shift not in self.families}
        return self._saved(families={**self.families, **fresh}) if fresh else self

    def _sealed(self, shift: str, names: Sequence[str]) -> dict[str, Any]:
        hashes = sorted(_hash(self.data, shift, name) for name in names)
        return {"n": len(names), "date": _today(), "sealed": hashes[: round(self.share * len(names))]}

    def _saved(self, **changes: Any) -> Lockbox:
        box = dataclasses.replace(self, **changes)
        content = {"version": VERSION, "data": box.data, "share": box.share, "families": box.families, "openings": list(box.openings)}
        partial = box.path.with_name(f"{box.path.name}.partial")
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.replace(partial, box.path)
        return box


def read_lockbox(path: Path | str, *, data: str, share: float) -> Lockbox:
    """The lockbox of a file, or a new one that is not yet on disk.

    Raises:
      ValueError: If the file is no lockbox, is of other data, or seals another share.
    """
    path = Path(path)
    if not 0 < share < 1:
        raise ValueError(f"a lockbox of share {share}; give one between 0 and 1, such as 0.2")
    if not path.exists():
        return Lockbox(path, data, share, {})
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        box = Lockbox(path, content["data"], float(content["share"]), content["families"], tuple(content["openings"]))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no lockbox ({error}); restore it from version control, or name another file") from error
    if box.data != data:
        raise ValueError(f"{path} was sealed for data {box.data}, these are {data}; a lockbox belongs to one data set, name another file")
    if abs(box.share - share) > 1e-9:
        raise ValueError(f"{path} seals {box.share:g} of each family, not {share:g}; what is sealed once stays so")
    return box


def left_sealed(box: Lockbox, splits: Sequence[Split]) -> tuple[list[Split], dict[str, int]]:
    """The splits that may be run, and how many of each shift are sealed.

    Raises:
      ValueError: If nothing of a shift is left: a sealed domain was asked for by name.
    """
    free = [split for split in splits if not box.sealed(split.shift, split.domain)]
    shifts = dict.fromkeys(split.shift for split in splits)
    counts = {shift: sum(box.sealed(s.shift, s.domain) for s in splits if s.shift == shift) for shift in shifts}
    for shift in shifts:
        if not any(split.shift == shift for split in free):
            raise ValueError(
                f"{shift}: what is asked for is sealed in {box.path}. Choose other domains, or open the lockbox with a reason "
                "(--open-lockbox REASON), which is written down"
            )
    return free, {shift: n for shift, n in counts.items() if n}


def crystals_key(dataset: Dataset) -> str:
    """Content hash of crystals and ids: a further label or domain column does not unseal what is sealed."""
    digest = hashlib.sha256("".join(c.key + name for c, name in zip(dataset.crystals, dataset.ids, strict=True)).encode())
    return digest.hexdigest()[:16]


def _hash(data: str, shift: str, domain: str) -> str:
    return hashlib.sha256(f"{data}|{shift}|{domain}".encode()).hexdigest()


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
