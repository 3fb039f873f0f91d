"""Effective robustness: what a model gains outside beyond what its error inside makes one expect."""

from __future__ import annotations

import math

import numpy as np

REACH = 2.0
"""Factor by which a model's inside error may lie off those of the ladder for its line to be read there."""

FEWEST = 4
"""Baselines that make a line."""


def effective_robustness(mae_in: float, mae_out: float, ladder: np.ndarray) -> tuple[float | None, str]:
    """Outside error that baselines of this inside error would have, over the one that the model has.

    A model that is better everywhere is better outside too, and that is not robustness. Baselines of varying strength give a
    line log MAE_out = a + b log MAE_in; the model is held against it. 1 is on the line, above 1 more robust than its inside
    error explains. A matched ratio near 1 with a large inside error cannot hide here.

    Args:
      mae_in: Mean absolute error inside.
      mae_out: Outside.
      ladder: The same of baselines (inside, outside) [n, 2].

    Returns:
      The ratio, or None and why there is none.

    Source:
      Taori et al. (2020), Measuring robustness to natural distribution shifts, NeurIPS, eq. 1, for errors in logarithms.
    """
    ladder = np.asarray(ladder, np.float64)
    if len(ladder) < FEWEST or not ((ladder > 0).all() and mae_in > 0 and mae_out > 0):
        return None, f"{len(ladder)} baselines of positive error; a line needs {FEWEST}"
    inside, outside = np.log(ladder).T
    if np.ptp(inside) < math.log(1.1):
        return None, "baselines of varying strength differ by less than 10% inside: no line"
    if not inside.min() - math.log(REACH) <= math.log(mae_in) <= inside.max() + math.log(REACH):
        return None, f"the inside error is more than {REACH:g} times off those of the baselines: the line does not reach it"
    slope, offset = np.polyfit(inside, outside, 1)
    return math.exp(offset + slope * math.log(mae_in)) / mae_out, ""
