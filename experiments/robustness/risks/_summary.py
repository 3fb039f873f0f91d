"""Which rows are compared, and what choosing the settings was worth."""

from __future__ import annotations

from typing import Any

import numpy as np


def complete(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of methods on data sets of which they have all domains that ERM has there; a control has domains of its own."""
    found = {(r["data"], r["method"]): set() for r in rows}
    for r in rows:
        found[r["data"], r["method"]].add((r["shift"], r["domain"]))
    return [r for r in rows if r["control"] or found[r["data"], r["method"]] >= found.get((r["data"], "ERM"), set())]


def gaps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per method, over domains: what selection by validation and by an oracle would give, over selection by left-out domains."""
    first = [r for r in rows if r["seed"] == 0]
    log_mean = lambda values: float(np.exp(np.mean(np.log(values))))
    found = []
    for title in dict.fromkeys(r["method"] for r in first):
        mine = [r for r in first if r["method"] == title]
        found.append(
            {
                "method": title,
                "n_domain": len(mine),
                "validation_over_chosen": log_mean([r["mae_out_by_validation"] / r["mae_out"] for r in mine]),
                "oracle_over_chosen": log_mean([r["oracle_mae_out"] / r["mae_out"] for r in mine]),
                "out_over_in": log_mean([r["mae_out"] / r["mae_in"] for r in mine]),
                "switched_off": float(np.mean([r["draw"] == 0 for r in mine])),
                "refused": float(np.mean([r["refused"] for r in mine])),
            }
        )
    return found
