"""Columns of a data set from the values of records: ids, labels, domain columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from matjax.types import Crystal

TENSORS = ("forces", "stress")
ALWAYS = ("energy", *TENSORS)
MAX_TEXT = 80


def with_tensors(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The labels that are asked for; `energy` brings forces and stress along."""
    return tuple(dict.fromkeys((*wanted, *TENSORS))) if "energy" in wanted else wanted


def is_number(value: Any) -> bool:
    """Whether a value is a number; truth values are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def unique(names: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Names made unique by #2, #3, ..., and how many were changed."""
    taken, counts, unique = set(names), Counter[str](), []
    for name in names:
        counts[name] += 1
        candidate = name
        while counts[name] > 1 and (candidate := f"{name}#{counts[name]}") in taken:
            counts[name] += 1
        taken.add(candidate)
        unique.append(candidate)
    return tuple(unique), sum(a != b for a, b in zip(unique, names, strict=True))


def is_label(column: str, values: Sequence[Any], wanted: tuple[str, ...]) -> bool:
    """Whether a column is a label: one of those wanted, or by its name or type where none is."""
    if wanted:
        return column in with_tensors(wanted)
    present = [v for v in values if v is not None]
    if column in ALWAYS or column.endswith("_per_atom"):
        return bool(present)
    return any(isinstance(v, float) for v in present) and all(map(is_number, present))


def label_column(column: str, values: Sequence[Any], crystals: Sequence[Crystal]) -> Any:
    """A label's column: scalars [n], stress [n, 3, 3], or a tuple of forces; NaN where absent."""
    if column == "forces":
        shapes = [(len(c), 3) for c in crystals]
        return tuple(np.full(s, np.nan) if v is None else np.asarray(v, float) for s, v in zip(shapes, values, strict=True))
    if column == "stress":
        return np.stack([np.full((3, 3), np.nan) if v is None else np.asarray(v, float) for v in values])
    return np.array([np.nan if v is None else float(v) for v in values])


def domain_column(values: Sequence[Any]) -> np.ndarray | None:
    """A domain column [n] of numbers or text, or None for what is neither (lists of lists, long text)."""
    present = [v for v in values if v is not None]
    if present and all(map(is_number, present)):
        return np.array([math.nan if v is None else v for v in values])
    texts = [_text(v) for v in values]
    return None if any(t is None for t in texts) else np.array(texts, str)


def _text(value: Any) -> str | None:
    """Short text of a value: "" where absent, lists of text joined by +; None for what has none."""
    if isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
        value = "+".join(value)
    text = "" if value is None else str(value)
    fits = isinstance(value, (str, int, float)) or value is None
    return text if fits and len(text) <= MAX_TEXT and "\n" not in text and not text.startswith(("{", "[")) else None
