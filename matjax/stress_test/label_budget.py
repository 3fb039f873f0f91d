"""A few labels of the new domain (information level L2): what correcting the fitted model with them gives."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from matjax.data.split import unlabelled
from matjax.keys import child, generator
from matjax.stress_test import metrics
from matjax.training.supervision import target_per_atom
from matjax.types import Split
from matjax.uncertainty.few_labels import FewLabels

LEFT = 10
"""Outside crystals that must remain to be tested."""


def rows_of_few_labels(
    predictor: Any, split: Split, counts: tuple[int, ...], *, label: str, expected: float, key: jax.Array
) -> tuple[list[dict[str, Any]], str]:
    """What goes into the rows of level L2: errors on outside crystals that gave no label, after a correction by k that did.

    The crystals that are tested are the same for every k; so are they for every method, since the key is that of the split.

    Args:
      predictor: The fitted model.
      split: Its split; k of its outside crystals give their label.
      counts: Numbers of labels k.
      label: The label.
      expected: Error that the model has where it is at home, in the label's unit.
      key: Source of the draw.

    Returns:
      The rows, and why there are fewer than asked for.
    """
    n = len(split.test_outside)
    possible = [k for k in sorted(counts) if 0 < k <= n - LEFT]
    why = f"{n} outside crystals do not allow {max(counts)} labels and {LEFT} to test" if len(possible) < len(counts) else ""
    if not possible:
        return [], why
    order = generator(child(key, "few labels")).permutation(n)
    rest = split.test_outside.select(np.sort(order[max(possible) :]))
    target, crystals, rows = target_per_atom(rest, label), unlabelled(rest).crystals, []
    for k in possible:
        corrected = FewLabels(expected=expected).fit(predictor, split.test_outside.select(order[:k]), label=label)
        error = corrected(crystals).mean - target
        figures = {"mae_out": metrics.mae(error), "rmse_out": metrics.rmse(error), "bias_out": metrics.bias(error)}
        rows.append({"n_label": k, "n_test": len(rest), **figures})
    return rows, why


def unfolded(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The row, and after it one of level L2 per number of labels that corrected its model: what they share stays, the rest is None."""
    corrected = row.get("few_labels") or []
    shared = ("shift", "domain", "seed", "n_train", "n_member", "label", "unit", "selection", "chosen", "certificate", "lockbox")
    first = {name: value for name, value in row.items() if name != "few_labels"} | {"n_label": 0}
    rows = [first]
    for found in corrected:
        kept = dict.fromkeys(first) | {name: first[name] for name in shared if name in first} | {"why": {}}
        method = f"{row['method']}, {found['n_label']} labels"
        rows.append(kept | found | {"method": method, "information": "L2"})
    return rows
