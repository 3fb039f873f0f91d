"""What intervals are calibrated on: errors on domains that a fit did not see, and what they may grow with."""

from __future__ import annotations

import numpy as np
from _folds import Domain, pair_name
from _store import Store

from matjax.uncertainty import NeighbourTable

COLUMNS = ("outer", "inner", "row", "error", "distance", "local_error")
Columns = dict[str, np.ndarray]


def family_errors(found: list[Domain], store: Store, target: np.ndarray, table: NeighbourTable) -> Columns:
    """Errors of a family, from which any recipe for intervals can be computed without a fit.

    One entry per crystal that a fit was asked about: `outer`, the domain that the interval is for; `inner`, the domain of the crystal
    (`outer` again for the final fit's errors outside, `calibration` for those inside); `row`, its row in the data; `error`; `distance`,
    the mean to the five nearest crystals outside the domains that were held out; and `local_error`, the mean error of the thirty nearest
    such crystals by fits that saw neither them nor `outer`. The last two are zero for `calibration`.
    """
    parts = [part for d in found for part in _of_domain(d, [e for e in found if e is not d], store, target, table)]
    return {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}


def _of_domain(d: Domain, others: list[Domain], store: Store, target: np.ndarray, table: NeighbourTable) -> list[Columns]:
    """The entries of one outer domain."""
    final = store[f"{d.split}|{d.name}"] - target
    rows = {e.name: np.setdiff1d(e.test, d.test) for e in others if pair_name(d, e) in store.rows}
    error = {e.name: (store[pair_name(d, e)] - target)[rows[e.name]] for e in others if e.name in rows}
    mean_error = _mean(rows, error, len(target))
    left = np.ones(len(target), bool)
    left[d.test] = False

    def entry(inner: str, row: np.ndarray, found: np.ndarray, allowed: np.ndarray | None) -> Columns:
        distance = local_error = np.zeros(len(row))
        if allowed is not None and np.isfinite(mean_error).any():
            distance, local_error = table.distance(row, allowed), table.local_error(row, allowed, mean_error)
        names = (np.full(len(row), d.name), np.full(len(row), inner), row.astype(np.int32))
        numbers = (column.astype(np.float32) for column in (found, distance, local_error))
        return dict(zip(COLUMNS, (*names, *numbers), strict=True))

    entries = [entry(d.name, d.test, final[d.test], left), entry("calibration", d.calibration, final[d.calibration], None)]
    for e in others:
        if e.name in rows:
            allowed = left.copy()
            allowed[e.test] = False
            entries.append(entry(e.name, rows[e.name], error[e.name], allowed))
    return entries


def _mean(rows: dict[str, np.ndarray], error: dict[str, np.ndarray], n: int) -> np.ndarray:
    """Mean absolute error of every crystal over the inner domains that it belongs to [n]; NaN where it belongs to none."""
    total, count = np.zeros(n), np.zeros(n)
    for name, row in rows.items():
        total[row] += np.abs(error[name])
        count[row] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
