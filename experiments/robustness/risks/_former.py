"""What an earlier run left in `result.json`: rows that hold as long as their settings do, whoever has the run folder.

A row depends on what all methods share (network, search, sizes, seeds) and on its own method, so adding a method leaves the rows of
the others as they are. The errors per crystal behind a row are in the run folder alone; without them a comparison keeps its old
interval, which was made of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matjax.stress_test.comparison import Comparison

OWN = ("methods", "controls")
"""Settings of single methods; all others are shared."""


class Former(NamedTuple):
    """Rows of an earlier result whose settings are those of now, and its tables {name: comparisons}."""

    rows: list[dict[str, Any]]
    tables: dict[str, list[dict[str, Any]]]


NOTHING = Former([], {})


def former(path: Path, settings: Mapping[str, Any]) -> Former:
    """What still holds of a result: nothing if a shared setting changed, else the rows of methods whose own settings did not."""
    if not path.exists():
        return NOTHING
    found = json.loads(path.read_text(encoding="utf-8"))
    if _shared(found["settings"]) != _shared(settings):
        return NOTHING
    old, new = _by_title(found["settings"]), _by_title(settings)
    same = {title for title in old.keys() & new.keys() if old[title] == new[title]}
    return Former([row for row in found["rows"] if row["method"] in same], found["tables"])


def with_old_intervals(found: Iterable[Comparison], old: Sequence[Mapping[str, Any]]) -> tuple[Comparison, ...]:
    """Comparisons of old rows with the intervals that were made of their errors; a verdict that such an interval denies is withdrawn."""
    name = lambda c: tuple(c[x] for x in ("family", "method", "information", "reference", "n_domain", "n_seed"))
    there = {name(c): c for c in old}
    kept = []
    for c in found:
        match = there.get(name(dataclasses.asdict(c)))
        if match is None or match["low"] is None:
            kept.append(c)
            continue
        decided = c.verdict not in ("better", "worse") or match["high"] < 1 or match["low"] > 1
        kept.append(
            dataclasses.replace(c, low=match["low"], high=match["high"], note=match["note"], verdict=c.verdict if decided else "undecided")
        )
    return tuple(kept)


def _shared(settings: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({name: value for name, value in settings.items() if name not in OWN}))


def _by_title(settings: Mapping[str, Any]) -> dict[str, Any]:
    """{title: settings of the method; of a control also those of its twin}."""
    methods = {m["title"]: json.loads(json.dumps(m)) for m in settings["methods"]}
    return methods | {c["title"]: [json.loads(json.dumps(c)), methods[c["of"]]] for c in settings.get("controls", ())}
