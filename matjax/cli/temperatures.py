"""Temperatures as they are typed: one, a list, or a range."""

from __future__ import annotations

import numpy as np

N_DEFAULT = 61


def parse_temperatures(text: str) -> np.ndarray:
    """K, from `800`, `500,800` or `low:high:count` (count may be left out).

    Raises:
      ValueError: If the text is none of these, or a temperature is negative or not finite.

    Example:
      >>> parse_temperatures("300:600:3")
      array([300., 450., 600.])
    """
    parts = text.split(":")
    try:
        if len(parts) == 1:
            found = np.array([float(word) for word in text.split(",")])
        else:
            low, high, count = *map(float, parts[:2]), int(parts[2]) if len(parts) > 2 else N_DEFAULT
            found = np.linspace(low, high, count)
    except ValueError:
        raise ValueError(f"--temperature {text!r}: give K as 800, 500,800 or low:high:count, such as 300:1000:71") from None
    if len(parts) > 3 or not len(found) or not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError(f"--temperature {text!r}: temperatures are in K, finite and not negative; ranges are low:high:count")
    return found
